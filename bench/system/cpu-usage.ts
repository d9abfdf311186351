/** CPU and memory of processes and of the machine, from /proc. Parsing is pure. */
import { readFileSync } from "node:fs";

/** USER_HZ: what the kernel counts CPU time in for user space, on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4_096;

/** CPU seconds of the whole machine since boot. */
export interface MachineCpu {
  /** Work of processes: user, nice, system. */
  readonly processes: number;
  /** Taken by the hypervisor. */
  readonly stolen: number;
  /** Everything, idle included: elapsed time x cores. */
  readonly all: number;
}

/** The first line of /proc/stat. */
export function parseMachineCpu(text: string): MachineCpu {
  const fields = (text.split("\n")[0] ?? "").trim().split(/\s+/).slice(1).map(Number);
  const at = (index: number): number => (fields[index] ?? 0) / TICKS_PER_SECOND;
  const processes = at(0) + at(1) + at(2);
  const all = [0, 1, 2, 3, 4, 5, 6, 7].reduce((sum, index) => sum + at(index), 0);
  return { processes, stolen: at(7), all };
}

/** User and system seconds of /proc/PID/stat; the command name may contain anything, even `) `. */
export function parseProcessCpu(text: string): number {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident bytes of /proc/PID/statm. */
export function parseResidentBytes(text: string): number {
  return Number(text.split(" ")[1]) * PAGE_BYTES;
}

export function machineCpu(): MachineCpu {
  return parseMachineCpu(readFileSync("/proc/stat", "utf8"));
}

/** CPU seconds of the processes and their present children; 0 for those that are gone. */
export function cpuSeconds(pids: readonly number[]): number {
  return sum(withChildren(pids), (pid) => parseProcessCpu(readFileSync(`/proc/${pid}/stat`, "utf8")));
}

/** Resident memory of the processes and their present children. */
export function residentBytes(pids: readonly number[]): number {
  return sum(withChildren(pids), (pid) => parseResidentBytes(readFileSync(`/proc/${pid}/statm`, "utf8")));
}

function withChildren(pids: readonly number[]): readonly number[] {
  return pids.flatMap((pid) => [pid, ...withChildren(childrenOf(pid))]);
}

function childrenOf(pid: number): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  } catch {
    return []; // ended
  }
}

function sum(pids: readonly number[], read: (pid: number) => number): number {
  let total = 0;
  for (const pid of pids) {
    try {
      total += read(pid);
    } catch {
      // The process has ended.
    }
  }
  return total;
}
