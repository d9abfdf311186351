/** HOT PATH. The HTTP load: as many requests at once as there are connections and streams, or a fixed rate over them. */
import { setTimeout as sleep } from "node:timers/promises";
import { Http2ClientConnection } from "#core/http2/client-connection.ts";
import type { LoadMessage } from "../load/messages.ts";
import { openAll } from "../load/open-all.ts";
import { summarize } from "../load/summarize.ts";
import { LatencyHistogram } from "../stats/latency-histogram.ts";
import type { HttpJob } from "./http-jobs.ts";
import { requestHead, requestText } from "./http-text.ts";
import { MessageCounter } from "./message-counter.ts";
import { handleOpener, pipeOpener } from "./open-transport.ts";

const TICK_MS = 1;

/** Something that can have one request under way. */
interface Lane {
  send(): void;
}

class Meter {
  readonly histogram = new LatencyHistogram();
  failures = 0;
  /** Lanes without a request, for a fixed rate. */
  readonly idle: Lane[] = [];
  running = true;
  readonly #rate: number;

  constructor(rate: number) {
    this.#rate = rate;
  }

  answered(lane: Lane, sentAt: number, status: string): void {
    this.histogram.record((performance.now() - sentAt) * 1_000);
    if (status !== "200" && this.failures++ === 0) process.stderr.write(`load: answered ${status}\n`);
    if (this.#rate > 0) this.idle.push(lane);
    else if (this.running) lane.send();
  }

  lost(why: string): void {
    if (this.running && this.failures++ === 0) process.stderr.write(`load: ${why}\n`);
  }
}

export async function runHttp(job: HttpJob, say: (message: LoadMessage) => void): Promise<void> {
  const meter = new Meter(job.rate);
  const lanes = job.version === "2" ? await openHttp2(job, meter) : await openHttp1(job, meter);
  let late = 0;
  if (job.rate === 0) for (const lane of lanes) lane.send();
  else {
    meter.idle.push(...lanes);
    const start = performance.now();
    let sent = 0;
    setInterval(() => {
      const due = Math.floor(((performance.now() - start) / 1_000) * job.rate);
      for (; sent < due; sent++) {
        const lane = meter.idle.shift();
        if (lane === undefined) late++;
        else lane.send();
      }
    }, TICK_MS);
  }
  await sleep(job.warmupSeconds * 1_000);
  say({ event: "start", opened: job.connections });
  meter.histogram.clear();
  const [started, lateBefore] = [performance.now(), late];
  await sleep(job.seconds * 1_000);
  const seconds = (performance.now() - started) / 1_000;
  const { count } = meter.histogram;
  const latency = summarize(meter.histogram);
  // A request that found every lane busy was not sent: the rate was not kept.
  const failures = meter.failures + late - lateBefore;
  say({ event: "end", count, seconds, opened: job.connections, failures, latency });
  meter.running = false;
}

function openHttp1(job: HttpJob, meter: Meter): Promise<readonly Lane[]> {
  const open = pipeOpener(job.transport);
  const text = requestText(job.fields);
  return openAll(job.connections, async () => {
    let sentAt = 0;
    const counter = new MessageCounter((status) => meter.answered(lane, sentAt, status));
    const pipe = await open({
      onBytes: (bytes) => counter.feed(bytes),
      onClosed: () => meter.lost("connection closed"),
    });
    const lane: Lane = {
      send: () => {
        sentAt = performance.now();
        pipe.write(text);
      },
    };
    return lane;
  });
}

async function openHttp2(job: HttpJob, meter: Meter): Promise<readonly Lane[]> {
  const open = handleOpener(job.transport);
  const head = requestHead(job.fields);
  const perConnection = await openAll(job.connections, async () => {
    const events = {
      onIdle: () => undefined,
      onClose: (error?: Error) => meter.lost(error?.message ?? "connection closed"),
    };
    const connection = new Http2ClientConnection(await open(), { events });
    return Array.from({ length: job.streams }, () => http2Lane(connection, head, meter));
  });
  return perConnection.flat();
}

function http2Lane(
  connection: Http2ClientConnection,
  head: ReturnType<typeof requestHead>,
  meter: Meter,
): Lane {
  let sentAt = 0;
  let status = "";
  const lane: Lane = {
    send: () => {
      sentAt = performance.now();
      const exchange = connection.send(head, events);
      exchange.end([]);
    },
  };
  const events = {
    onInterim: () => undefined,
    onHead: (answer: { readonly status: number }) => (status = String(answer.status)),
    onBody: () => undefined,
    onWritable: () => undefined,
    onEnd: () => meter.answered(lane, sentAt, status),
    onFailure: ({ reason }: { readonly reason: string }) => meter.lost(reason),
  };
  return lane;
}
