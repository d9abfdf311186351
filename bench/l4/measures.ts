/** Pure. What is measured, in which figures, and which figures are to be reached. */
import type { ReportSubject } from "../render/report.ts";

export const MEASURES = [
  "idle",
  "latency-1",
  "rate-64",
  "bulk-1",
  "bulk-8",
  "beside-bulk",
  "connections",
] as const;
export type Measure = (typeof MEASURES)[number];

export interface Metric {
  readonly name: string;
  readonly title: string;
  readonly better: "higher" | "lower";
  readonly digits: number;
}

export interface MeasureInfo {
  readonly title: string;
  /** The first one is the headline. */
  readonly metrics: readonly Metric[];
}

const metric = (name: string, title: string, better: Metric["better"], digits: number): Metric => ({
  name,
  title,
  better,
  digits,
});

const P50_US = metric("p50Us", "p50 us", "lower", 0);
const P99_US = metric("p99Us", "p99 us", "lower", 0);
const BULK: readonly Metric[] = [
  metric("gibPerSecond", "GiB/s", "higher", 2),
  metric("cpuSecondsPerGib", "CPU s/GiB (A + B)", "lower", 2),
  metric("cpuSecondsPerGibA", "A", "lower", 2),
  metric("cpuSecondsPerGibB", "B", "lower", 2),
];

const MEASURE_INFO: Readonly<Record<Measure, MeasureInfo>> = {
  "bulk-1": { title: "Bulk upload, 1 connection", metrics: BULK },
  "bulk-8": { title: "Bulk upload, 8 connections", metrics: BULK },
  "rate-64": {
    title: "1 KiB request and answer, 64 connections",
    metrics: [
      metric("perSecond", "requests/s", "higher", 0),
      metric("cpuUsPerUnit", "CPU us/request (A + B)", "lower", 1),
      P50_US,
      P99_US,
    ],
  },
  "latency-1": { title: "1 KiB request and answer, 1 connection", metrics: [P50_US, P99_US] },
  "beside-bulk": {
    title: "1 KiB request and answer on 1 connection beside 8 bulk uploads",
    metrics: [
      metric("p50Ms", "p50 ms", "lower", 2),
      metric("p99Ms", "p99 ms", "lower", 2),
      metric("gibPerSecond", "bulk GiB/s", "higher", 2),
    ],
  },
  connections: {
    title: "New connections, 32 at a time, one byte there and back on each",
    metrics: [
      metric("perSecond", "connections/s", "higher", 0),
      metric("cpuUsPerUnit", "CPU us/connection (A + B)", "lower", 0),
      P50_US,
      P99_US,
    ],
  },
  idle: {
    title: "Memory, 1,000 idle connections beside 200 that were there before",
    metrics: [
      metric("kibPerConnection", "RSS KiB/connection (A + B)", "lower", 1),
      metric("baseMib", "RSS at start MiB (A + B)", "lower", 0),
      metric("idleMib", "with 1,200 MiB", "lower", 0),
    ],
  },
};

export interface Goal {
  readonly measure: string;
  readonly metric: string;
  /** Ratio to haproxy in the same run. */
  readonly ratio: number;
  readonly comparison: ">=" | "<=";
  readonly text: string;
}

/** Reported, never asserted. */
const GOALS: readonly Goal[] = [
  { measure: "bulk-8", metric: "gibPerSecond", ratio: 1.15, comparison: ">=", text: "bulk, 8 connections" },
  {
    measure: "bulk-8",
    metric: "cpuSecondsPerGib",
    ratio: 0.85,
    comparison: "<=",
    text: "CPU per GiB, 8 connections",
  },
  { measure: "rate-64", metric: "perSecond", ratio: 1.35, comparison: ">=", text: "64-connection rate" },
  { measure: "connections", metric: "perSecond", ratio: 4, comparison: ">=", text: "new connections/s" },
  {
    measure: "idle",
    metric: "kibPerConnection",
    ratio: 0.2,
    comparison: "<=",
    text: "RSS per idle connection",
  },
  { measure: "beside-bulk", metric: "p50Ms", ratio: 0.2, comparison: "<=", text: "p50 beside bulk" },
];

/** MiB of a bundled ztunnel that serves nothing. */
export const EMPTY_ZTUNNEL_GOAL_MB = 80;
export const L4_SUBJECT: ReportSubject = {
  info: MEASURE_INFO,
  goals: GOALS,
  referencePeer: "haproxy",
  ambitPeer: "ambit",
  means:
    "Load, both proxies and the servers share all cores. CPU is that of the proxies alone, A (client's side) and B (server's side) together.",
};
