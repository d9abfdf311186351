/** HOT PATH. Upload on some connections: each keeps one write in flight. The rate is measured by the receiver. */
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadJob, LoadMessage } from "./messages.ts";
import { openAll, openOne } from "./open-all.ts";
import { MAX_WRITE, type RawTcp } from "./raw-tcp.ts";

const WRITE_BYTES = Math.min(MAX_WRITE, 128 * 1024);
/** Writes in one go before other connections get their turn. */
const BURST = 16;

type BulkJob = Extract<LoadJob, { readonly kind: "bulk" }>;

export async function runBulk(job: BulkJob, say: (message: LoadMessage) => void): Promise<void> {
  let failures = 0;
  let running = true;
  let count = 0;
  const events = { onBytes: () => undefined, onClosed: () => void (failures += running ? 1 : 0) };
  const pump = (socket: RawTcp): void => {
    for (let i = 0; i < BURST; i++) {
      if (!running) return;
      count++;
      if (!socket.write(WRITE_BYTES, () => pump(socket))) return;
    }
    setImmediate(() => pump(socket));
  };
  const sockets = await openAll(job.connections, () => openOne(job, events));
  sockets.forEach(pump);
  await sleep(job.warmupSeconds * 1_000);
  say({ event: "start", opened: sockets.length });
  count = 0;
  const started = performance.now();
  await sleep(job.seconds * 1_000);
  const seconds = (performance.now() - started) / 1_000;
  say({ event: "end", count, seconds, opened: sockets.length, failures, latency: undefined });
  running = false;
  for (const socket of sockets) socket.close();
}
