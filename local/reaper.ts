/** Starts the reaper of a cluster: a shell script that outlives this process and removes everything when it ends. */
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { systemClock } from "#core/base/clock.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { type ClusterRecord, stateDirectory } from "./state-file.ts";

const SCRIPT = join(import.meta.dirname, "reaper.sh");
const REAP_TIMEOUT_MS = 30_000;

export interface Reaper {
  /** Makes the reaper work now; resolves when it is done. */
  fire(): Promise<void>;
}

function words(record: ClusterRecord): readonly string[] {
  return [SCRIPT, record.prefix, stateDirectory(record.id), ...record.cgroups];
}

/** Must be started without a helper such as setsid: one that forks would close the pipe and reap a running cluster. */
export function startReaper(record: ClusterRecord): Reaper {
  const child = spawn("/bin/sh", words(record), {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
    cwd: "/",
  });
  child.unref();
  child.stdin.on("error", () => undefined);
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    fire: async () => {
      child.stdin.end();
      const over = new AbortController();
      const limit = systemClock.sleep(REAP_TIMEOUT_MS, over.signal).catch(() => undefined);
      await Promise.race([gone, limit]);
      over.abort();
    },
  };
}

/** Cleans up after an owner that is gone, reaper included. */
export function reapNow(record: ClusterRecord): void {
  const result = spawnSync("/bin/sh", words(record), { input: "", timeout: REAP_TIMEOUT_MS, cwd: "/" });
  if (result.status !== 0)
    throw new AmbitError("REAP_FAILED", `cleaning up ${record.prefix} failed: ${String(result.stderr)}`);
}
