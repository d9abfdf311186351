/** The processes of a pod as seen from this machine, found through the node's control group. */
import { execFile } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { promisify } from "node:util";
import type { ClusterNode } from "#local/cluster-types.ts";

/** Processes of the pod whose command line contains `word`. */
export function podProcesses(node: ClusterNode, podUid: string, word: string): readonly number[] {
  const files = globSync(`${node.cgroup}/{kubepods,kubepods/*}/pod${podUid}/*/cgroup.procs`);
  const pids = files
    .flatMap((file) =>
      readFileSync(file, "utf8")
        .split("\n")
        .filter((line) => line !== ""),
    )
    .map(Number);
  return pids.filter((pid) => commandLine(pid).includes(word));
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** Runs a command in the network namespace of a process and gives back its output. */
export async function inNetworkOf(pid: number, command: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("nsenter", [`--net=/proc/${pid}/ns/net`, ...command], {
    timeout: 10_000,
  });
  return stdout;
}
