/**
 * Pure. The surroundings of a node: a machine made of namespaces, with a root file system of its own (the host's /usr, read-only),
 * its own /run, CNI directories and bpffs, and a view of the cgroups in which the node is the top.
 */
import type { LaunchPlan } from "./launcher/launcher.ts";

/** Facts about the host's file system, found once. */
export interface HostLayout {
  /** `/bin` to `usr/bin` and the like; directories that are no links are listed in `topDirectories`. */
  readonly topLinks: readonly { readonly path: string; readonly target: string }[];
  readonly topDirectories: readonly string[];
  /** Files and directories of /etc that programs need (accounts, certificates, loader cache). */
  readonly etc: readonly string[];
  /** v2 hierarchy, and v1 hierarchies by name when the machine has them. */
  readonly cgroups: CgroupLayout;
}

export interface CgroupLayout {
  readonly v2: string;
  /** Controller name to mount point, only those used for limits: memory, cpu, pids. */
  readonly v1: Readonly<Record<string, string>>;
}

export interface NodePlanInput {
  readonly name: string;
  readonly host: HostLayout;
  /** Group below every hierarchy's top: `ambit-<id>/n1`. */
  readonly cgroup: string;
  readonly netns: string;
  /** State directory of the node on the host: root, kubelet, log, cni-conf, cni-bin. */
  readonly directory: string;
  readonly nodeHome: string;
  readonly bundles: string;
  readonly launcherDirectory: string;
}

/** The root of nodes and of containers alike: the host's programs, nothing of its data. */
export function rootSkeleton(host: HostLayout): LaunchPlan {
  return [
    ["bind", "Rr", "/usr", "/usr"],
    ...host.topLinks.map(({ path, target }) => ["link", target, path]),
    ...host.topDirectories.map((path) => ["bind", "Rr", path, path]),
    ...host.etc.map((path) => ["bind", "r", path, path]),
    ...["/var/lib", "/root", "/home", "/mnt"].map((path) => ["dir", path]),
    ["link", "../run", "/var/run"],
  ];
}

export function cgroupDirectories(layout: CgroupLayout, group: string): readonly string[] {
  return [layout.v2, ...Object.values(layout.v1)].map((top) => `${top}/${group}`);
}

export function joinCgroup(layout: CgroupLayout, group: string): LaunchPlan {
  return cgroupDirectories(layout, group).map((directory) => ["cgroup", directory]);
}

/** Inside a node the hierarchies are where the host has them, with the node's group as their top. */
function cgroupView({ host, cgroup }: NodePlanInput): LaunchPlan {
  const { v2, v1 } = host.cgroups;
  const v1Tops = Object.values(v1);
  if (v1Tops.length === 0) return [["bind", "", `${v2}/${cgroup}`, v2]];
  const binds = [v2, ...v1Tops].map((top) => ["bind", "", `${top}/${cgroup}`, top]);
  return [["tmpfs", "/sys/fs/cgroup", "mode=755,size=1m"], ...binds];
}

/** The command of the node's first process; it ends in `pause`. */
export function nodeInitPlan(input: NodePlanInput): LaunchPlan {
  const { host, directory } = input;
  return [
    ...joinCgroup(host.cgroups, input.cgroup),
    ["unshare", "cgroup"],
    ...joinCgroup(host.cgroups, `${input.cgroup}/init`),
    ["netns", input.netns],
    ["unshare", "mnt,uts,ipc,pid"],
    ["pid-file", `${directory}/init.pid`],
    ["fork"],
    ["propagation", "private"],
    ["root", `${directory}/root`],
    ...rootSkeleton(host),
    ["proc", "/proc"],
    ["sysfs", "/sys", "rw"],
    ...cgroupView(input),
    ["bpffs", "/sys/fs/bpf"],
    ["bind", "R", "/dev", "/dev"],
    ["tmpfs", "/tmp", "mode=1777"],
    ["tmpfs", "/run", "mode=755"],
    ["dir", "/run/netns"],
    ["bind", "", `${directory}/kubelet`, "/var/lib/kubelet"],
    ["bind", "", `${directory}/log`, "/var/log"],
    ["bind", "", `${directory}/cni-conf`, "/etc/cni/net.d"],
    ["bind", "", `${directory}/cni-bin`, "/opt/cni/bin"],
    ["bind", "r", `${directory}/hosts`, "/etc/hosts"],
    ["bind", "r", `${directory}/resolv.conf`, "/etc/resolv.conf"],
    ["bind", "r", input.nodeHome, "/opt/ambit/node"],
    ["bind", "r", input.bundles, "/opt/ambit/lib"],
    ["bind", "r", input.launcherDirectory, "/opt/ambit/bin"],
    ["pivot"],
    ["propagation", "shared"],
    ["hostname", input.name],
  ];
}

/** Steps that put a process of this machine into a node, in the group `cgroup` (seen from the machine). */
export function enterNodePlan(layout: CgroupLayout, cgroup: string, initPid: number): LaunchPlan {
  return [...joinCgroup(layout, cgroup), ["enter", String(initPid), "cgroup,uts,ipc,net,pid,mnt"]];
}
