/**
 * Where the kubelet keeps the processes of a pod, in its own cgroup tree: `kubepods[/<qos>]/pod<uid>/<container>`, or
 * the systemd form `kubepods.slice/kubepods-<qos>.slice/kubepods-<qos>-pod<uid>.slice/<scope>`.
 * Looked up at that exact depth. Never by searching paths for `pod<uid>`: a container may make a directory with a
 * stranger's name below its own, and would be given the stranger's identity.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cgroup2Root } from "#core/linux/cgroup.ts";

export interface CgroupTree {
  /** Directories below which `kubepods` or `kubepods.slice` is; one per hierarchy. */
  readonly roots: readonly string[];
}

const VERSION_1 = ["memory", "pids", "cpu", "cpuacct", "systemd"].map((name) => `/sys/fs/cgroup/${name}`);
const QOS_CLASSES = ["", "burstable", "besteffort"];

/**
 * The kubelet's tree as seen from a pod: this process is in it, so what stands before `kubepods` in its own path is
 * the tree's prefix. With a cgroup namespace of its own the prefix is not visible and is taken as empty.
 */
export function findCgroupTree(ownCgroups = readFileSync("/proc/self/cgroup", "utf8")): CgroupTree {
  const prefix = kubepodsPrefix(ownCgroups);
  const version2 = cgroup2Root();
  const mounts = [...(version2 === undefined ? [] : [version2]), ...VERSION_1];
  return { roots: mounts.map((mount) => join(mount, prefix)) };
}

/** Pure. The part of a cgroup path before `/kubepods`; "" when it has none. */
export function kubepodsPrefix(procCgroup: string): string {
  for (const line of procCgroup.split("\n")) {
    const path = line.split(":").slice(2).join(":");
    const at = path.search(/\/kubepods(?:\.slice)?(?:\/|$)/);
    if (at >= 0) return path.slice(0, at);
  }
  return "";
}

/** Pure. Every place where this pod's directory may be, relative to a root. */
export function podDirectories(podUid: string): readonly string[] {
  const plain = QOS_CLASSES.map((qos) => join("kubepods", qos, `pod${podUid}`));
  const escaped = podUid.replaceAll("-", "_");
  const systemd = QOS_CLASSES.map((qos) => {
    const slice = qos === "" ? "kubepods" : `kubepods-${qos}`;
    return join("kubepods.slice", ...(qos === "" ? [] : [`${slice}.slice`]), `${slice}-pod${escaped}.slice`);
  });
  return [...plain, ...systemd];
}

export type PodProcesses =
  | { readonly kind: "found"; readonly pids: readonly number[] }
  | { readonly kind: "none" }
  | { readonly kind: "ambiguous"; readonly directories: readonly string[] };

/** Processes of the pod's containers, from the first hierarchy that has the pod. Two directories for one pod: refused. */
export function podProcesses(tree: CgroupTree, podUid: string): PodProcesses {
  if (!/^[A-Za-z0-9-]{1,64}$/.test(podUid)) return { kind: "none" };
  for (const root of tree.roots) {
    const found = podDirectories(podUid)
      .map((directory) => join(root, directory))
      .map((directory) => ({ directory, pids: processesBelow(directory) }))
      .filter((entry) => entry.pids.length > 0);
    if (found.length > 1) return { kind: "ambiguous", directories: found.map((f) => f.directory) };
    const [only] = found;
    if (only !== undefined) return { kind: "found", pids: only.pids };
  }
  return { kind: "none" };
}

/** Whether a process (its /proc/PID/cgroup text) belongs to this pod, by the same exact depth. */
export function isProcessOfPod(procCgroup: string, prefix: string, podUid: string): boolean {
  return procCgroup.split("\n").some((line) => {
    const path = line.split(":").slice(2).join(":");
    return podDirectories(podUid).some((directory) => {
      const base = join("/", prefix, directory);
      return path.startsWith(`${base}/`) && !path.slice(base.length + 1).includes("/");
    });
  });
}

/** Processes directly in the containers of a pod's directory: one level down, not deeper. */
function processesBelow(directory: string): readonly number[] {
  return subdirectories(directory).flatMap((name) => readPids(join(directory, name, "cgroup.procs")));
}

function subdirectories(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return []; // not in this hierarchy, or gone
  }
}

function readPids(path: string): readonly number[] {
  try {
    const text = readFileSync(path, "utf8");
    return text
      .split("\n")
      .filter((line) => line !== "" && line !== "0")
      .map(Number);
  } catch {
    return [];
  }
}
