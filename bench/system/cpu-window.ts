/** What a span of time cost: the proxies, the load, and everybody else on the machine. */
import { cpuSeconds, type MachineCpu, machineCpu } from "./cpu-usage.ts";

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
  readonly machine: MachineCpu;
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
    a: cpuSeconds(processes.a),
    b: cpuSeconds(processes.b),
    load: cpuSeconds(processes.load),
    machine: machineCpu(),
  };
}

/** Time of the kernel outside any process (network interrupts) is caused by the load and counts as nobody's. */
export function cpuBetween(before: CpuReading, after: CpuReading): CpuWindow {
  const a = after.a - before.a;
  const b = after.b - before.b;
  const load = after.load - before.load;
  const all = after.machine.all - before.machine.all;
  const processes = after.machine.processes - before.machine.processes;
  const stolen = after.machine.stolen - before.machine.stolen;
  const foreign = Math.max(0, processes - a - b - load) + stolen;
  const share = (seconds: number): number => (all <= 0 ? 0 : seconds / all);
  return { a, b, load, foreignShare: share(foreign), loadShare: share(load) };
}
