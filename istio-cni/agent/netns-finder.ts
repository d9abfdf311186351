/**
 * Finds the network namespace of a running pod: that of its oldest process, which is the sandbox. A later process may
 * have made a namespace of its own, which is the application's affair and gets no identity.
 */
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { openNetns, type Netns } from "#core/linux/netns.ts";
import { type CgroupTree, podProcesses } from "./pod-cgroups.ts";

export type FoundNetns =
  | { readonly kind: "found"; readonly netns: Netns; readonly pid: number }
  /** Not running yet, or no more: look again later. */
  | { readonly kind: "none"; readonly reason: string }
  /** Running, and nobody may say where: no identity is given out. */
  | { readonly kind: "refused"; readonly reason: string };

interface Candidate {
  readonly pid: number;
  readonly startTicks: bigint;
}

/** The caller closes the namespace. Never returns the host's or this process's own namespace. */
export function findPodNetns(tree: CgroupTree, podUid: string): FoundNetns {
  const processes = podProcesses(tree, podUid);
  if (processes.kind === "none") return { kind: "none", reason: "the pod has no running process" };
  if (processes.kind === "ambiguous") {
    return {
      kind: "refused",
      reason: `the pod's processes are in several places: ${processes.directories.join(", ")}`,
    };
  }
  const candidates = processes.pids.map(startOf).filter((c) => c !== undefined);
  const sandbox = candidates.toSorted((a, b) => (a.startTicks < b.startTicks ? -1 : 1))[0];
  if (sandbox === undefined) return { kind: "none", reason: "the pod's processes ended" };
  return openOf(sandbox);
}

/** Inodes of namespaces that are nobody's pod: our own (the agent runs in the node's), and the first process's if visible. */
export function reservedNetnsInodes(): ReadonlySet<bigint> {
  const own = statSync("/proc/self/ns/net", { bigint: true }).ino;
  try {
    return new Set([own, statSync("/proc/1/ns/net", { bigint: true }).ino]);
  } catch {
    return new Set([own]); // looking into process 1 takes more than this process may do
  }
}

function openOf(sandbox: Candidate): FoundNetns {
  // One directory descriptor stands for one process: after its end every read through it fails, so that a new process
  // with the same number is never taken for it.
  let directory: number | undefined;
  try {
    directory = openSync(`/proc/${sandbox.pid}`, "r");
    const base = `/proc/self/fd/${directory}`;
    if (startTicks(readFileSync(`${base}/stat`, "utf8")) !== sandbox.startTicks) {
      return { kind: "none", reason: "the pod's sandbox process ended" };
    }
    const netns = openNetns(`${base}/ns/net`);
    if (!reservedNetnsInodes().has(netns.inode)) return { kind: "found", netns, pid: sandbox.pid };
    netns.close();
    return { kind: "refused", reason: "the pod is in the node's own network namespace" };
  } catch {
    return { kind: "none", reason: "the pod's sandbox process ended" };
  } finally {
    if (directory !== undefined) closeSync(directory);
  }
}

function startOf(pid: number): Candidate | undefined {
  try {
    return { pid, startTicks: startTicks(readFileSync(`/proc/${pid}/stat`, "utf8")) };
  } catch {
    return undefined;
  }
}

/** Field 22 of /proc/PID/stat (proc(5)); the second field may contain spaces and parentheses. */
function startTicks(stat: string): bigint {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return BigInt(fields[19] ?? "0");
}
