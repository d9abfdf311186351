/** Starts the owner of a local cluster as a process of its own, and waits until its cluster is up. */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AmbitError } from "#core/runtime/errors.ts";
import { clusterStatus } from "./cluster.ts";
import type { ClusterStatus } from "./cluster-types.ts";
import { checkClusterId, ownerLogFile, STATE_ROOT } from "./state-file.ts";

export interface BackgroundStart {
  readonly id: string;
  /** Words after `ambit`. */
  readonly arguments: readonly string[];
}

const START_TIMEOUT_MS = 120_000;
const POLL_MS = 100;
const CLI = join(import.meta.dirname, "..", "cli", "main.ts");

/** Tells each line that the owner writes. Fails with CLUSTER_START and the owner's last words. */
export async function startInBackground(
  start: BackgroundStart,
  tell: (line: string) => void,
  signal: AbortSignal,
): Promise<ClusterStatus> {
  checkClusterId(start.id);
  mkdirSync(STATE_ROOT, { recursive: true, mode: 0o755 });
  const logPath = ownerLogFile(start.id);
  const log = openSync(logPath, "w", 0o600);
  try {
    return await untilUp(start, { log, logPath, tell, signal });
  } finally {
    closeSync(log);
  }
}

interface Watch {
  readonly log: number;
  readonly logPath: string;
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

async function untilUp(
  start: BackgroundStart,
  { log, logPath, tell, signal }: Watch,
): Promise<ClusterStatus> {
  const child = spawn(process.execPath, [CLI, ...start.arguments], {
    detached: true,
    stdio: ["ignore", "ignore", log],
    cwd: "/",
  });
  child.unref();
  let ended: string | undefined;
  child.once("exit", (code, by) => (ended = by ?? `status ${code}`));
  const until = Date.now() + START_TIMEOUT_MS;
  for (let told = 0; ;) {
    // By descriptor: an owner that fails removes its log with everything else, and its words are wanted then most.
    const text = readFileSync(`/proc/self/fd/${log}`, "utf8");
    const lines = text
      .slice(0, text.lastIndexOf("\n") + 1)
      .split("\n")
      .slice(0, -1);
    for (const line of lines.slice(told)) tell(line);
    told = lines.length;
    const status = clusterStatus(start.id);
    if (status.ready === true) return status;
    // Another start of the same cluster may have been first: then its owner is waited for.
    if (ended !== undefined && status.state !== "running")
      throw new AmbitError(
        "CLUSTER_START",
        `the local cluster did not start (${ended}): ${lines.at(-1) ?? ""}`,
      );
    if (signal.aborted || Date.now() > until) {
      child.kill("SIGTERM");
      throw new AmbitError(
        "CLUSTER_START",
        signal.aborted
          ? "interrupted"
          : `the local cluster is not up after ${START_TIMEOUT_MS / 1000} s; see ${logPath}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
