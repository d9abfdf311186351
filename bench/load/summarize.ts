/** The figures of a histogram that are reported. */
import type { LatencyHistogram } from "../stats/latency-histogram.ts";
import type { LatencySummary } from "./messages.ts";

export function summarize(histogram: LatencyHistogram): LatencySummary {
  return {
    p50Us: histogram.quantileUs(0.5),
    p99Us: histogram.quantileUs(0.99),
    maxUs: histogram.maxUs,
  };
}
