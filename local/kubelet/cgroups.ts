/**
 * Control groups of pods and containers: always in the v2 hierarchy (kill, freeze, events), and for limits in the v1 hierarchies
 * where the machine keeps memory, cpu and pids there.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#core/base/clock.ts";
import { type CgroupLayout, cgroupDirectories } from "../node-plan.ts";
import type { CgroupLimits } from "./resources.ts";

const CPU_PERIOD_US = 100_000;
/** Keeps one pod's fork bomb from taking the machine. */
const POD_MAX_PROCESSES = 4096;

/** Makes the group and its parents in every hierarchy; controllers are handed down where v2 has them. */
export function createCgroup(layout: CgroupLayout, group: string): void {
  for (const directory of cgroupDirectories(layout, group)) mkdirSync(directory, { recursive: true });
  const wanted = v2Controllers(layout).filter((name) => ["memory", "cpu", "pids"].includes(name));
  if (wanted.length === 0) return;
  let parent = layout.v2;
  for (const part of ["", ...group.split("/").slice(0, -1)]) {
    parent = join(parent, part);
    tryWrite(join(parent, "cgroup.subtree_control"), wanted.map((name) => `+${name}`).join(" "));
  }
}

export function limitCgroup(layout: CgroupLayout, group: string, limits: CgroupLimits): void {
  const v2 = new Set(v2Controllers(layout));
  const write = (
    controller: "memory" | "cpu" | "pids",
    v2File: string,
    v1File: string,
    value: (isV2: boolean) => string,
  ): void => {
    const v1Top = layout.v1[controller];
    if (v2.has(controller)) tryWrite(join(layout.v2, group, v2File), value(true));
    else if (v1Top !== undefined) tryWrite(join(v1Top, group, v1File), value(false));
  };
  const { memoryBytes, cpuCores } = limits;
  if (memoryBytes !== undefined)
    write("memory", "memory.max", "memory.limit_in_bytes", () => String(Math.floor(memoryBytes)));
  if (cpuCores === undefined) return;
  const quota = Math.max(1000, Math.floor(cpuCores * CPU_PERIOD_US));
  write("cpu", "cpu.max", "cpu.cfs_quota_us", (isV2) => (isV2 ? `${quota} ${CPU_PERIOD_US}` : String(quota)));
}

export function limitProcesses(layout: CgroupLayout, group: string): void {
  const top = v2Controllers(layout).includes("pids") ? layout.v2 : layout.v1["pids"];
  if (top !== undefined) tryWrite(join(top, group, "pids.max"), String(POD_MAX_PROCESSES));
}

/** Kills every process of the group and below, and waits until it is empty (5 s at most). False: something is left. */
export async function killCgroup(layout: CgroupLayout, group: string, clock: Clock): Promise<boolean> {
  const directory = join(layout.v2, group);
  tryWrite(join(directory, "cgroup.kill"), "1");
  for (let waited = 0; waited < 5_000; waited += 20) {
    if (!isPopulated(directory)) return true;
    await clock.sleep(20);
  }
  return false;
}

/** Removes the group and all below it from every hierarchy; what is still in use stays. */
export function removeCgroup(layout: CgroupLayout, group: string): void {
  for (const directory of cgroupDirectories(layout, group)) removeTree(directory);
}

/** How often the kernel killed for memory in this group. */
export function oomKills(layout: CgroupLayout, group: string): number {
  const v1Top = layout.v1["memory"];
  const file =
    v1Top === undefined ? join(layout.v2, group, "memory.events") : join(v1Top, group, "memory.oom_control");
  return Number(/^oom_kill (\d+)$/m.exec(tryRead(file))?.[1] ?? 0);
}

function removeTree(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(directory, entry.name));
  }
  try {
    rmdirSync(directory);
  } catch (error) {
    if (!["EBUSY", "ENOENT", "ENOTEMPTY"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

function isPopulated(directory: string): boolean {
  return tryRead(join(directory, "cgroup.events")).includes("populated 1");
}

function v2Controllers(layout: CgroupLayout): readonly string[] {
  return tryRead(join(layout.v2, "cgroup.controllers")).trim().split(" ");
}

function tryRead(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** A limit that the machine cannot keep (no such controller) is not worth a failed pod. */
function tryWrite(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    if (
      !["ENOENT", "EACCES", "EINVAL", "EBUSY", "ENODEV", "EOPNOTSUPP"].includes(
        (error as NodeJS.ErrnoException).code ?? "",
      )
    )
      throw error;
  }
}
