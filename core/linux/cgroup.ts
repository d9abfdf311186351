/** Where control groups are: the unified hierarchy may be the root of /sys/fs/cgroup or beside version 1. */
import { closeSync, openSync, readFileSync, statfsSync } from "node:fs";
import { check, libc } from "./libc.ts";

const CLONE_NEWCGROUP = 0x0200_0000;
const CGROUP2_MAGIC = 0x6367_7270;
const CANDIDATES = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/** Mount point of the cgroup v2 hierarchy; undefined when there is none. */
export function cgroup2Root(candidates: readonly string[] = CANDIDATES): string | undefined {
  return candidates.find((path) => isCgroup2(path));
}

export function isCgroup2(path: string): boolean {
  try {
    return statfsSync(path).type === CGROUP2_MAGIC;
  } catch {
    return false;
  }
}

/** Path of a process within cgroup v2 (`/kubepods/...`); undefined when it is gone or only in version 1. */
export function cgroup2PathOf(pid: number | "self"): string | undefined {
  try {
    return parseCgroup2Path(readFileSync(`/proc/${pid}/cgroup`, "utf8"));
  } catch {
    return undefined;
  }
}

/** Pure. The `0::` line of /proc/PID/cgroup (cgroups(7)). */
export function parseCgroup2Path(text: string): string | undefined {
  const line = text.split("\n").find((l) => l.startsWith("0::/"));
  return line?.slice(3).replace(/ \(deleted\)$/, "");
}

/**
 * From here on this thread sees control groups as process `pid` does. A container may have a cgroup namespace of its own, in which
 * everything outside of it is named relative to it (`/../../system.slice/...`).
 */
export function joinCgroupNamespace(pid: number): void {
  const fd = openSync(`/proc/${pid}/ns/cgroup`, "r");
  try {
    check(
      libc().setns(fd, CLONE_NEWCGROUP),
      "setns",
      "entering the node's cgroup namespace needs CAP_SYS_ADMIN",
    );
  } finally {
    closeSync(fd);
  }
}
