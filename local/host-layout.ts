/** Facts about this machine's file system and control groups; the same code looks at a node from inside. */
import { existsSync, lstatSync, readFileSync, readlinkSync } from "node:fs";
import { AmbitError } from "#core/runtime/errors.ts";
import type { CgroupLayout, HostLayout } from "./node-plan.ts";

const TOP = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
const ETC = [
  "/etc/passwd",
  "/etc/group",
  "/etc/nsswitch.conf",
  "/etc/ssl",
  "/etc/ca-certificates",
  "/etc/alternatives",
  "/etc/ld.so.cache",
  "/etc/ld.so.conf",
  "/etc/ld.so.conf.d",
  "/etc/protocols",
  "/etc/services",
  "/etc/localtime",
  "/etc/os-release",
];
const LIMIT_CONTROLLERS = ["memory", "cpu", "pids"];

/** Throws when there is no v2 hierarchy: without it neither kill nor capture works. */
export function hostLayout(): HostLayout {
  const present = TOP.filter((path) => existsSync(path));
  const isLink = (path: string): boolean => lstatSync(path).isSymbolicLink();
  return {
    topLinks: present.filter(isLink).map((path) => ({ path, target: readlinkSync(path).replace(/^\//, "") })),
    topDirectories: present.filter((path) => !isLink(path)),
    etc: ETC.filter((path) => existsSync(path)),
    cgroups: parseCgroupMounts(readFileSync("/proc/self/mounts", "utf8")),
  };
}

/** From the text of `/proc/self/mounts`: `/sys/fs/cgroup` alone, or v2 beside v1 hierarchies. */
export function parseCgroupMounts(mounts: string): CgroupLayout {
  const v1: Record<string, string> = {};
  let v2: string | undefined;
  for (const line of mounts.split("\n")) {
    const [, path = "", type, options = ""] = line.split(" ");
    if (!path.startsWith("/sys/fs/cgroup")) continue;
    if (type === "cgroup2") v2 ??= path;
    const names = type === "cgroup" ? options.split(",") : [];
    for (const controller of LIMIT_CONTROLLERS) {
      if (names.includes(controller)) v1[controller] ??= path;
    }
  }
  if (v2 === undefined)
    throw new AmbitError(
      "CGROUP_V2_MISSING",
      "no cgroup2 file system is mounted below /sys/fs/cgroup: mount one (mount -t cgroup2 none /sys/fs/cgroup/unified)",
    );
  return { v2, v1 };
}
