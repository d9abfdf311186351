/** What a topology makes outside its namespaces, and the removal of what killed tests left. */
import { existsSync, mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { cgroup2Root } from "#core/linux/cgroup.ts";
import { check, libc } from "#core/linux/libc.ts";
import { deleteNamedNetns } from "#core/linux/netns.ts";

const NAME = /^ambit-cap(\d+)-/;
const MNT_DETACH = 2;

/** A cgroup v2 directory; undefined without cgroup v2. */
export function makeCgroup(name: string): string | undefined {
  const root = cgroup2Root();
  if (root === undefined) return undefined;
  const path = join(root, name);
  mkdirSync(path);
  return path;
}

export function mountBpffs(prefix: string): string {
  const directory = `/run/${prefix}-bpf`;
  mkdirSync(directory);
  check(libc().mount("bpf", directory, "bpf", 0, null), "mount bpf", directory);
  return directory;
}

export function unmountBpffs(prefix: string): void {
  const directory = `/run/${prefix}-bpf`;
  libc().umount2(directory, MNT_DETACH);
  if (existsSync(directory)) rmdirSync(directory);
}

/** Removes namespaces, mounts and cgroups of test processes that are gone. */
export function reapDeadTopologies(): void {
  const isDead = (name: string): boolean => {
    const pid = NAME.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  };
  const list = (directory: string): readonly string[] =>
    existsSync(directory) ? readdirSync(directory) : [];
  for (const name of list("/run/netns").filter(isDead)) deleteNamedNetns(name);
  for (const name of list("/run").filter(isDead)) unmountBpffs(name.replace(/-bpf$/, ""));
  const cgroups = cgroup2Root();
  for (const name of cgroups === undefined ? [] : list(cgroups).filter(isDead))
    rmdirSync(join(cgroups ?? "", name));
}
