/** Programs of a run, each on its cores: measured proxies on the first, everything else on the others. */
import { type ChildProcess } from "node:child_process";
import { openSync, closeSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { spawnIn, stopProcess } from "../system/spawn-in.ts";

const START_MS = 20_000;
const POLL_MS = 25;

/** For `taskset`. With one core they share it. */
export const MEASURED_CORES = "0";
export const OTHER_CORES: string = availableParallelism() === 1 ? "0" : `1-${availableParallelism() - 1}`;

export interface ProgramOptions {
  readonly netns: string;
  readonly cores: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Standard output and error go there. */
  readonly logPath: string;
}

export interface RunningProgram {
  readonly pid: number;
  stop(): Promise<void>;
}

/** Resolves when its log has `ready`, or, without one, when it still runs after a moment. */
export async function startProgram(options: ProgramOptions, ready?: string): Promise<RunningProgram> {
  const { netns, cores, command, args, env = {}, logPath } = options;
  const log = openSync(logPath, "w");
  const child = spawnIn({
    netns,
    command: "taskset",
    args: ["-c", cores, command, ...args],
    env,
    stdio: ["pipe", log, log],
  });
  closeSync(log);
  try {
    await untilReady(child, logPath, ready);
    return { pid: child.pid ?? 0, stop: () => stopProcess(child) };
  } catch (error) {
    await stopProcess(child);
    throw error;
  }
}

async function untilReady(child: ChildProcess, logPath: string, ready: string | undefined): Promise<void> {
  const text = (): string => readFileSync(logPath, "utf8");
  for (let waited = 0; waited < START_MS; waited += POLL_MS) {
    await sleep(POLL_MS);
    if (child.exitCode !== null) throw new Error(`ended at once: ${text().slice(-600)}`);
    if (ready === undefined ? waited > 300 : text().includes(ready)) return;
  }
  throw new Error(`did not start in time: ${text().slice(-600)}`);
}

/** One of this benchmark's own programs; with `profilePath`, its CPU profile is written there. */
export function ownProgram(
  name: string,
  args: readonly string[],
  profilePath?: string,
): Pick<ProgramOptions, "command" | "args"> {
  const profile = profilePath === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profilePath}`];
  const program = join(import.meta.dirname, name);
  return { command: process.execPath, args: ["--disable-sigusr1", ...profile, program, ...args] };
}
