/** Pure. From counts, times and CPU to the figures of a table. */
import type { LoadResult } from "../load/messages.ts";
import type { CpuWindow } from "../system/cpu-window.ts";

const GIB = 2 ** 30;

export function bulkFigures(
  window: CpuWindow,
  sunk: { readonly bytes: number; readonly seconds: number },
): Readonly<Record<"gibPerSecond" | "cpuSecondsPerGib" | "cpuSecondsPerGibA" | "cpuSecondsPerGibB", number>> {
  const gib = sunk.bytes / GIB;
  return {
    gibPerSecond: gib / sunk.seconds,
    cpuSecondsPerGib: (window.a + window.b) / gib,
    cpuSecondsPerGibA: window.a / gib,
    cpuSecondsPerGibB: window.b / gib,
  };
}

export function rateFigures(
  window: CpuWindow,
  { count, seconds }: LoadResult,
): Readonly<Record<"perSecond" | "cpuUsPerUnit", number>> {
  return { perSecond: count / seconds, cpuUsPerUnit: ((window.a + window.b) * 1e6) / count };
}

/** `p50Us` and `p99Us`, or the same in milliseconds. */
export function latencyFigures({ latency }: LoadResult, unit: "Us" | "Ms"): Readonly<Record<string, number>> {
  if (latency === undefined) return {};
  const scale = unit === "Us" ? 1 : 1_000;
  return { [`p50${unit}`]: latency.p50Us / scale, [`p99${unit}`]: latency.p99Us / scale };
}
