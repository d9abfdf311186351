/** Pure. What is measured of HTTP proxies, in which figures, and which figure is to be reached. */
import type { Goal, MeasureInfo, Metric } from "../l4/measures.ts";
import type { ReportSubject } from "../render/report.ts";
import type { HttpJob } from "./http-jobs.ts";

export const HTTP_MEASURES = ["http1-4", "http1-20", "http2-shared", "http2-single", "paced"] as const;
export type HttpMeasure = (typeof HTTP_MEASURES)[number];

/** Requests a second at which added latency is measured: every peer can do several times as many. */
export const PACED_RATE = 3_000;

type Shape = Pick<HttpJob, "version" | "connections" | "streams" | "fields" | "rate">;

export const SHAPES: Readonly<Record<HttpMeasure, Shape>> = {
  "http1-4": { version: "1.1", connections: 64, streams: 1, fields: 4, rate: 0 },
  "http1-20": { version: "1.1", connections: 64, streams: 1, fields: 20, rate: 0 },
  "http2-shared": { version: "2", connections: 32, streams: 8, fields: 4, rate: 0 },
  "http2-single": { version: "2", connections: 64, streams: 1, fields: 4, rate: 0 },
  paced: { version: "1.1", connections: 64, streams: 1, fields: 20, rate: PACED_RATE },
};

const metric = (name: string, title: string, better: Metric["better"], digits: number): Metric => ({
  name,
  title,
  better,
  digits,
});
const FIGURES: readonly Metric[] = [
  metric("cpuUsPerUnit", "CPU us/request", "lower", 1),
  metric("perSecond", "requests/s", "higher", 0),
  metric("core", "of its core", "higher", 2),
  metric("p50Us", "p50 us", "lower", 0),
  metric("p99Us", "p99 us", "lower", 0),
];

const INFO: Readonly<Record<HttpMeasure, MeasureInfo>> = {
  "http1-4": { title: "HTTP/1.1, 4 header fields, 64 connections", metrics: FIGURES },
  "http1-20": { title: "HTTP/1.1, 20 header fields, 64 connections", metrics: FIGURES },
  "http2-shared": {
    title: "HTTP/2, 4 header fields, 32 connections of 8 requests at once",
    metrics: FIGURES,
  },
  "http2-single": { title: "HTTP/2, 4 header fields, 64 connections of 1 request at once", metrics: FIGURES },
  paced: {
    title: `Latency at ${PACED_RATE} requests/s, HTTP/1.1, 20 header fields, 64 connections`,
    metrics: [
      metric("p50Us", "p50 us", "lower", 0),
      metric("p99Us", "p99 us", "lower", 0),
      metric("cpuUsPerUnit", "CPU us/request", "lower", 1),
    ],
  },
};

const aim = (measure: HttpMeasure, text: string): Goal => ({
  measure,
  metric: "cpuUsPerUnit",
  ratio: 1.3,
  comparison: "<=",
  text,
});

export const HTTP_SUBJECT: ReportSubject = {
  info: INFO,
  goals: [
    aim("http1-4", "CPU per request, HTTP/1.1, 4 fields"),
    aim("http1-20", "CPU per request, HTTP/1.1, 20 fields"),
  ],
  referencePeer: "nginx",
  ambitPeer: "waypoint",
  means:
    "The measured proxy has one core to itself, load and upstream share the others; CPU is that of the proxy alone. Mutual TLS 1.3 with " +
    "AES-256-GCM on both sides of every proxy, for the waypoint inside of HBONE tunnels; 1 KiB answers, access log and one header rule on.",
};
