/** What a span of time cost: the proxies, the load, and everybody else on the machine. */
import { availableParallelism } from "node:os";
import { allCpuSeconds, cpuSeconds, stolenSeconds, withChildren } from "./cpu-usage.ts";

export interface WatchedProcesses {
  readonly a: readonly number[];
  readonly b: readonly number[];
  /** Generators, servers and this program. */
  readonly load: readonly number[];
}

export interface CpuReading {
  readonly a: number;
  readonly b: number;
  readonly load: number;
  /** Of all processes of the machine. */
  readonly everyone: number;
  readonly stolen: number;
  /** Seconds, monotonic. */
  readonly time: number;
}

/** CPU seconds inside the window. */
export interface CpuWindow {
  readonly a: number;
  readonly b: number;
  readonly load: number;
  /** Share of the machine (0 to 1) that processes outside the benchmark took. */
  readonly foreignShare: number;
  /** Share of the machine that the load itself took. */
  readonly loadShare: number;
}

export function readCpu(processes: WatchedProcesses): CpuReading {
  return {
    a: cpuSeconds(withChildren(processes.a)),
    b: cpuSeconds(withChildren(processes.b)),
    load: cpuSeconds(processes.load),
    everyone: allCpuSeconds(),
    stolen: stolenSeconds(),
    time: performance.now() / 1_000,
  };
}

/** Pure. Time of the kernel outside any process (network interrupts) is caused by the load and counts as nobody's. */
export function cpuBetween(
  before: CpuReading,
  after: CpuReading,
  cores: number = availableParallelism(),
): CpuWindow {
  const a = after.a - before.a;
  const b = after.b - before.b;
  const load = after.load - before.load;
  const capacity = (after.time - before.time) * cores;
  const others = Math.max(0, after.everyone - before.everyone - a - b - load);
  const foreign = others + Math.max(0, after.stolen - before.stolen);
  const share = (seconds: number): number => (capacity <= 0 ? 0 : seconds / capacity);
  return { a, b, load, foreignShare: share(foreign), loadShare: share(load) };
}
