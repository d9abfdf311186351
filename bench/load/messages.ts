/** What the load programs are told (one JSON argument) and what they say (JSON lines on standard output). */

export type LoadJob =
  /** Connect and exchange one byte until it works once. */
  | (Target & { readonly kind: "probe" })
  /** Write as fast as the connections take it. */
  | (Target & Timed & { readonly kind: "bulk"; readonly connections: number })
  /** One request of `bytes` in flight per connection; the answer is as long. */
  | (Target & Timed & { readonly kind: "ping"; readonly connections: number; readonly bytes: number })
  /** Connect, exchange one byte, close; `parallel` at a time. */
  | (Target & Timed & { readonly kind: "connections"; readonly parallel: number })
  /** Open, exchange one byte on each, hold them until standard input ends. */
  | (Target & { readonly kind: "idle"; readonly connections: number });

interface Target {
  readonly ip: string;
  readonly port: number;
}

interface Timed {
  /** Unmeasured seconds at the beginning. */
  readonly warmupSeconds: number;
  readonly seconds: number;
}

export interface LatencySummary {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

export interface LoadResult {
  /** Requests, connections or writes inside the measured time. */
  readonly count: number;
  /** Seconds that were measured. */
  readonly seconds: number;
  /** Connections opened since the program began, warm-up included. */
  readonly opened: number;
  /** Connections that could not be made or ended early. */
  readonly failures: number;
  readonly latency: LatencySummary | undefined;
}

export type LoadMessage =
  /** The measured time begins (for idle: all connections are open). */
  | { readonly event: "start"; readonly opened: number }
  | ({ readonly event: "end" } & LoadResult)
  | { readonly event: "failed"; readonly reason: string };

/** A server's counters at one moment of its own clock. */
export interface ServerCounters {
  readonly connections: number;
  readonly bytes: number;
  /** Milliseconds, monotonic. */
  readonly timeMs: number;
}
