/** Runs named steps one after another with their time; the first failure ends the run with its output shown. */
import { type ChildProcess, spawn } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { performance } from "node:perf_hooks";

export interface Step {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which the step is killed with everything that it started, and counts as failed. */
  readonly timeoutMs: number;
}

interface StepEnd {
  readonly failure: string | undefined;
  readonly output: string;
}

const SIGN_OF_LIFE_MS = 30_000;
/** Tools start as `#!/usr/bin/env node`, which must be this Node and not the one that the machine has. */
const PATH = [dirname(process.execPath), process.env["PATH"] ?? ""].join(delimiter);

export function toolPath(name: string): string {
  return join("node_modules", ".bin", name);
}

/** Exits the process with 1 at the first failing step. Output of passing steps is shown only when `verbose`. */
export async function runSteps(steps: readonly Step[], verbose = false): Promise<void> {
  for (const step of steps) {
    const started = performance.now();
    const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;
    const alive = setInterval(() => tell(`   ${step.name}: still running (${seconds()})`), SIGN_OF_LIFE_MS);
    const { failure, output } = await runStep(step, verbose);
    clearInterval(alive);
    if (failure !== undefined) {
      tell(`${output}\nFAILED ${step.name} (${seconds()}): ${failure}\n  ${commandLine(step)}`);
      process.exit(1);
    }
    tell(`ok ${step.name} (${seconds()})`);
  }
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

function runStep(step: Step, verbose: boolean): Promise<StepEnd> {
  return new Promise((resolve) => {
    const child = spawn(step.command, step.args, {
      stdio: ["ignore", verbose ? "inherit" : "pipe", verbose ? "inherit" : "pipe"],
      env: { ...process.env, PATH, ...step.env },
      detached: true,
    });
    const endedBySignal = endWithUs(child);
    let late = false;
    const deadline = setTimeout(() => {
      late = true;
      killGroup(child, "SIGKILL");
    }, step.timeoutMs);
    const chunks: Buffer[] = [];
    const finish = (failure: string | undefined): void => {
      clearTimeout(deadline);
      endedBySignal();
      resolve({ failure, output: Buffer.concat(chunks).toString() });
    };
    child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr?.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.on("error", (error) => finish(error.message));
    child.on("close", (code, signal) => finish(failureOf(late, code, signal, step)));
  });
}

function failureOf(
  late: boolean,
  code: number | null,
  signal: string | null,
  step: Step,
): string | undefined {
  if (late) return `not finished after ${step.timeoutMs / 1000} s`;
  if (code === 0) return undefined;
  return signal === null ? `exit code ${code}` : `ended by ${signal}`;
}

/** A step has a process group of its own, which a terminal's Ctrl-C does not reach: it is told. Returns how to stop telling. */
function endWithUs(child: ChildProcess): () => void {
  const handlers = (["SIGINT", "SIGTERM", "SIGHUP"] as const).map((signal) => {
    const onSignal = (): void => {
      killGroup(child, "SIGTERM");
      process.exit(130);
    };
    process.on(signal, onSignal);
    return (): void => void process.off(signal, onSignal);
  });
  return () => handlers.forEach((off) => off());
}

function killGroup(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

function commandLine({ command, args }: Step): string {
  const shown = args.length > 12 ? [...args.slice(0, 6), `... (${args.length - 6} more)`] : args;
  return [command, ...shown].join(" ");
}
