/** One measurement on a running pair: start the load, read CPU at the two ends of its measured time, check the counts. */
import { setTimeout as sleep } from "node:timers/promises";
import { LoadClient } from "../load/load-client.ts";
import type { LoadServer } from "../load/load-server.ts";
import type { LoadJob, LoadResult, ServerCounters } from "../load/messages.ts";
import type { ConnectionCounts, RunningPeer } from "../peers/peer.ts";
import { residentBytes, withChildren } from "../system/cpu-usage.ts";
import {
  cpuBetween,
  type CpuReading,
  type CpuWindow,
  readCpu,
  type WatchedProcesses,
} from "../system/cpu-window.ts";
import { bulkFigures, latencyFigures, rateFigures } from "./figures.ts";
import type { Measure } from "./measures.ts";

export interface MeasureContext {
  /** Namespace of the generator. */
  readonly netns: string;
  readonly echo: LoadServer;
  readonly sink: LoadServer;
  readonly peer: RunningPeer;
  /** Measured time; the warm-up comes before. */
  readonly seconds: number;
}

export interface Measured {
  readonly figures: Readonly<Record<string, number>>;
  readonly foreignShare: number;
  readonly loadShare: number;
  readonly problems: readonly string[];
}

const WARMUP_SECONDS = 0.7;
const PING_BYTES = 1_024;
const FIRST_CONNECTIONS = 200;
const IDLE_CONNECTIONS = 1_000;
const IDLE_SETTLE_MS = 1_500;
const COUNT_WAIT_MS = 3_000;
const COUNT_POLL_MS = 100;
const MIB = 2 ** 20;

/** Rejects only when load or peer broke down; wrong counts and failed connections are problems of the result. */
export async function runMeasure(measure: Measure, context: MeasureContext): Promise<Measured> {
  const before = await countsOf(context);
  const { opened, failures, ...measured } = await MEASURE_RUNS[measure](context);
  const problems = failures === 0 ? [] : [`${failures} connections failed of ${opened}`];
  return { ...measured, problems: [...problems, ...(await disagreements(context, before, opened))] };
}

interface RawMeasured extends Omit<Measured, "problems"> {
  readonly opened: number;
  readonly failures: number;
}

const MEASURE_RUNS: Readonly<Record<Measure, (context: MeasureContext) => Promise<RawMeasured>>> = {
  idle: runIdle,
  "latency-1": (context) => runPing(context, 1),
  "rate-64": (context) => runPing(context, 64),
  "bulk-1": (context) => runBulk(context, 1),
  "bulk-8": (context) => runBulk(context, 8),
  "beside-bulk": runBesideBulk,
  connections: runConnections,
};

async function runPing(context: MeasureContext, connections: number): Promise<RawMeasured> {
  const job = pingJob(context, connections);
  const { window, results } = await timed(context, [new LoadClient(context.netns, job)]);
  return finish(window, results, {
    ...rateFigures(window, only(results)),
    ...latencyFigures(only(results), "Us"),
  });
}

async function runConnections(context: MeasureContext): Promise<RawMeasured> {
  const { seconds, netns, peer } = context;
  const timing = { warmupSeconds: WARMUP_SECONDS, seconds };
  const job: LoadJob = { kind: "connections", ...peer.echo, ...timing, parallel: 32 };
  const { window, results } = await timed(context, [new LoadClient(netns, job)]);
  return finish(window, results, {
    ...rateFigures(window, only(results)),
    ...latencyFigures(only(results), "Us"),
  });
}

async function runBulk(context: MeasureContext, connections: number): Promise<RawMeasured> {
  const job = bulkJob(context, connections, context.seconds);
  const { window, results, sunk } = await timed(context, [new LoadClient(context.netns, job)]);
  return finish(window, results, bulkFigures(window, sunk));
}

/** The bulk load runs before, during and after the measured requests. */
async function runBesideBulk(context: MeasureContext): Promise<RawMeasured> {
  const bulk = new LoadClient(context.netns, bulkJob(context, 8, context.seconds + 3 * WARMUP_SECONDS));
  try {
    await bulk.started();
    const ping = new LoadClient(context.netns, pingJob(context, 1));
    const { window, results, sunk } = await timed(context, [ping], [bulk.pid]);
    const figures = {
      ...latencyFigures(only(results), "Ms"),
      gibPerSecond: bulkFigures(window, sunk).gibPerSecond,
    };
    return finish(window, [...results, await bulk.ended()], figures);
  } finally {
    await bulk.stop();
  }
}

/**
 * What a thousand connections add to the memory of a pair that has carried some already: the first ones also pay for
 * code and heap that every later one finds there.
 */
async function runIdle(context: MeasureContext): Promise<RawMeasured> {
  await sleep(IDLE_SETTLE_MS);
  const started = residentBytes(proxiesOf(context));
  const first = await holdIdle(context, FIRST_CONNECTIONS);
  try {
    const base = residentBytes(proxiesOf(context));
    const watched = watch(context, []);
    const before = readCpu(watched);
    const more = await holdIdle(context, IDLE_CONNECTIONS);
    const held = residentBytes(proxiesOf(context));
    const window = cpuBetween(before, readCpu(watched));
    const figures = {
      kibPerConnection: (held - base) / IDLE_CONNECTIONS / 1_024,
      baseMib: started / MIB,
      idleMib: held / MIB,
    };
    const results = [await releaseIdle(more), await releaseIdle(first)];
    // Memory is not disturbed by other work on the machine.
    return finish({ ...window, foreignShare: 0 }, results, figures);
  } finally {
    await first.stop();
  }
}

async function holdIdle({ netns, peer }: MeasureContext, connections: number): Promise<LoadClient> {
  const client = new LoadClient(netns, { kind: "idle", ...peer.echo, connections });
  try {
    await client.started();
    await sleep(IDLE_SETTLE_MS);
    return client;
  } catch (error) {
    await client.stop();
    throw error;
  }
}

async function releaseIdle(client: LoadClient): Promise<LoadResult> {
  client.release();
  const result = await client.ended();
  await client.stop();
  return result;
}

function proxiesOf({ peer }: MeasureContext): readonly number[] {
  return withChildren([...peer.a, ...peer.b]);
}

function pingJob({ peer, seconds }: MeasureContext, connections: number): LoadJob {
  return {
    kind: "ping",
    ...peer.echo,
    connections,
    bytes: PING_BYTES,
    warmupSeconds: WARMUP_SECONDS,
    seconds,
  };
}

function bulkJob({ peer }: MeasureContext, connections: number, seconds: number): LoadJob {
  return { kind: "bulk", ...peer.sink, connections, warmupSeconds: WARMUP_SECONDS, seconds };
}

interface Timed {
  readonly window: CpuWindow;
  readonly results: readonly LoadResult[];
  /** What the sink counted between the two readings. */
  readonly sunk: SinkWindow;
}

export interface SinkWindow {
  readonly bytes: number;
  readonly seconds: number;
}

/** Runs the clients to their end; the window is that of the first. */
async function timed(
  context: MeasureContext,
  clients: readonly LoadClient[],
  others: readonly number[] = [],
): Promise<Timed> {
  const watched = watch(context, [...clients.map((client) => client.pid), ...others]);
  try {
    await Promise.all(clients.map((client) => client.started()));
    const [before, sinkBefore] = await readBoth(context, watched);
    const results = await Promise.all(clients.map((client) => client.ended()));
    const [after, sinkAfter] = await readBoth(context, watched);
    return { window: cpuBetween(before, after), results, sunk: sinkBetween(sinkBefore, sinkAfter) };
  } finally {
    await Promise.all(clients.map((client) => client.stop()));
  }
}

function watch({ peer, echo, sink }: MeasureContext, clients: readonly number[]): WatchedProcesses {
  return { a: peer.a, b: peer.b, load: [process.pid, echo.pid, sink.pid, ...clients] };
}

async function readBoth(
  { sink }: MeasureContext,
  watched: WatchedProcesses,
): Promise<readonly [CpuReading, ServerCounters]> {
  const asked = sink.counters();
  return [readCpu(watched), await asked];
}

function sinkBetween(before: ServerCounters, after: ServerCounters): SinkWindow {
  return { bytes: after.bytes - before.bytes, seconds: (after.timeMs - before.timeMs) / 1_000 };
}

function finish(
  window: CpuWindow,
  results: readonly LoadResult[],
  figures: Readonly<Record<string, number>>,
): RawMeasured {
  const total = (read: (result: LoadResult) => number): number =>
    results.reduce((sum, r) => sum + read(r), 0);
  return {
    figures,
    foreignShare: window.foreignShare,
    loadShare: window.loadShare,
    opened: total((result) => result.opened),
    failures: total((result) => result.failures),
  };
}

function only(results: readonly LoadResult[]): LoadResult {
  const [result] = results;
  if (result === undefined) throw new Error("no result");
  return result;
}

interface Counts {
  readonly servers: number;
  readonly peer: ConnectionCounts | undefined;
}

async function countsOf({ echo, sink, peer }: MeasureContext): Promise<Counts> {
  const [e, s] = [await echo.counters(), await sink.counters()];
  return { servers: e.connections + s.connections, peer: await peer.connectionCounts?.() };
}

/** Servers and proxies must have seen as many connections as the load made; they get a moment to count the last ones. */
async function disagreements(
  context: MeasureContext,
  before: Counts,
  opened: number,
): Promise<readonly string[]> {
  let found: readonly string[] = [];
  for (let waited = 0; waited <= COUNT_WAIT_MS; waited += COUNT_POLL_MS) {
    const after = await countsOf(context);
    found = compareCounts(before, after, opened);
    if (found.length === 0) break;
    await sleep(COUNT_POLL_MS);
  }
  return found;
}

/** Pure. One sentence per counter that does not say `opened`. */
export function compareCounts(before: Counts, after: Counts, opened: number): readonly string[] {
  const check = (who: string, count: number): readonly string[] =>
    count === opened ? [] : [`${who} counted ${count} connections, the load made ${opened}`];
  return [
    ...check("the servers", after.servers - before.servers),
    ...(after.peer === undefined || before.peer === undefined
      ? []
      : [
          ...check("A's metrics", after.peer.a - before.peer.a),
          ...check("B's metrics", after.peer.b - before.peer.b),
        ]),
  ];
}
