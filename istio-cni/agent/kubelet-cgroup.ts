/**
 * Finds the kubelet's own cgroup, by which its probes are told apart from everything else on the node.
 * The kubelet is a process of this node (same network namespace) with a known name, in a cgroup of its own.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { cgroup2PathOf, cgroup2Root } from "#core/linux/cgroup.ts";

const KUBELET_NAMES = new Set(["kubelet", "kubelite", "k3s", "k3s-agent", "k3s-server", "rke2"]);

export type KubeletCgroup =
  | { readonly kind: "found"; readonly directory: string }
  | { readonly kind: "none"; readonly reason: string };

export function findKubeletCgroup(): KubeletCgroup {
  const root = cgroup2Root();
  if (root === undefined) return { kind: "none", reason: "this kernel has no cgroup v2" };
  const own = readlinkSync("/proc/self/ns/net");
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const kubelet = pids.find((pid) => KUBELET_NAMES.has(nameOf(pid)) && netnsOf(pid) === own);
  if (kubelet === undefined)
    return { kind: "none", reason: "no kubelet process is visible in this network namespace" };
  const path = cgroup2PathOf(Number(kubelet)) ?? "/";
  // In the root group, or among pods, the kubelet could not be told from other processes.
  if (path === "/" || path.includes("/kubepods"))
    return { kind: "none", reason: `the kubelet is in cgroup ${path}, not in its own` };
  return { kind: "found", directory: join(root, path) };
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

function netnsOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return "";
  }
}
