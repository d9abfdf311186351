/** HOT PATH. Request and answer of equal length, one in flight per connection; every time is recorded. */
import { setTimeout as sleep } from "node:timers/promises";
import { LatencyHistogram } from "../stats/latency-histogram.ts";
import type { LoadJob, LoadMessage } from "./messages.ts";
import { openAll, openOne } from "./open-all.ts";
import type { RawTcp } from "./raw-tcp.ts";
import { summarize } from "./summarize.ts";

type PingJob = Extract<LoadJob, { readonly kind: "ping" }>;

export async function runPing(job: PingJob, say: (message: LoadMessage) => void): Promise<void> {
  const histogram = new LatencyHistogram();
  let failures = 0;
  let running = true;
  const open = async (): Promise<RawTcp> => {
    const answered = Promise.withResolvers<void>();
    let missing = 0;
    let sentAt = 0;
    const send = (): void => {
      missing = job.bytes;
      sentAt = performance.now();
      socket.write(job.bytes);
    };
    const socket = await openOne(job, {
      onBytes: (count) => {
        missing -= count;
        if (missing > 0 || !running) return;
        histogram.record((performance.now() - sentAt) * 1_000);
        answered.resolve();
        send();
      },
      onClosed: () => {
        failures += running ? 1 : 0;
        answered.resolve();
      },
    });
    send();
    await answered.promise; // a proxy may accept long before it has reached the server
    return socket;
  };
  const sockets = await openAll(job.connections, open);
  await sleep(job.warmupSeconds * 1_000);
  say({ event: "start", opened: sockets.length });
  histogram.clear();
  const started = performance.now();
  await sleep(job.seconds * 1_000);
  const seconds = (performance.now() - started) / 1_000;
  const { count } = histogram;
  const latency = summarize(histogram);
  say({ event: "end", count, seconds, opened: sockets.length, failures, latency });
  running = false;
  for (const socket of sockets) socket.close();
}
