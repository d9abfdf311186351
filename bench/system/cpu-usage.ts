/** CPU and memory of processes and of the machine, from /proc. Parsing is pure. */
import { readdirSync, readFileSync } from "node:fs";

/** USER_HZ: what the kernel counts CPU time in for user space, on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4_096;

/** Seconds since boot that the hypervisor gave to others: first line of /proc/stat. */
export function parseStolenSeconds(text: string): number {
  return Number((text.split("\n")[0] ?? "").trim().split(/\s+/)[8] ?? 0) / TICKS_PER_SECOND;
}

export interface ProcessCpu {
  /** User and system seconds of the process itself, all threads. */
  readonly own: number;
  /** Those of its ended and awaited children. */
  readonly children: number;
}

/** /proc/PID/stat; the command name may contain anything, even `) `. */
export function parseProcessCpu(text: string): ProcessCpu {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const seconds = (index: number): number => Number(fields[index]) / TICKS_PER_SECOND;
  return { own: seconds(11) + seconds(12), children: seconds(13) + seconds(14) };
}

/** Resident bytes of /proc/PID/statm. */
export function parseResidentBytes(text: string): number {
  return Number(text.split(" ")[1]) * PAGE_BYTES;
}

export function stolenSeconds(): number {
  return parseStolenSeconds(readFileSync("/proc/stat", "utf8"));
}

/** CPU seconds of exactly these processes; 0 for those that are gone. */
export function cpuSeconds(pids: readonly number[]): number {
  return sum(pids, (pid) => cpuOf(pid).own);
}

/**
 * CPU seconds of every process that exists and of those that ended under one. Unlike the sums of /proc/stat, which a
 * virtual machine's lost ticks make too small, these are exact.
 */
export function allCpuSeconds(): number {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return sum(pids.map(Number), (pid) => {
    const { own, children } = cpuOf(pid);
    return own + children;
  });
}

function cpuOf(pid: number): ProcessCpu {
  return parseProcessCpu(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

/** Resident memory of exactly these processes. */
export function residentBytes(pids: readonly number[]): number {
  return sum(pids, (pid) => parseResidentBytes(readFileSync(`/proc/${pid}/statm`, "utf8")));
}

/** The processes and all that descend from them now, each once. */
export function withChildren(pids: readonly number[]): readonly number[] {
  return [...new Set(pids.flatMap((pid) => [pid, ...withChildren(childrenOf(pid))]))];
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
