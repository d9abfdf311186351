/** Connections that do nothing: held until standard input ends. And the probe that says when a path works. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadJob, LoadMessage } from "./messages.ts";
import { openAll, openAndExchange } from "./open-all.ts";

type IdleJob = Extract<LoadJob, { readonly kind: "idle" }>;
type ProbeJob = Extract<LoadJob, { readonly kind: "probe" }>;

const PROBE_MS = 15_000;
const PROBE_TRY_MS = 2_000;
const PROBE_PAUSE_MS = 50;

export async function runIdle(job: IdleJob, say: (message: LoadMessage) => void): Promise<void> {
  const sockets = await openAll(job.connections, () => openAndExchange(job));
  say({ event: "start", opened: sockets.length });
  const started = performance.now();
  process.stdin.resume();
  await once(process.stdin, "end");
  for (const socket of sockets) socket.close();
  const seconds = (performance.now() - started) / 1_000;
  const count = sockets.length;
  say({ event: "end", count, seconds, opened: count, failures: 0, latency: undefined });
}

export async function runProbe(job: ProbeJob, say: (message: LoadMessage) => void): Promise<void> {
  const started = performance.now();
  let opened = 0;
  for (;;) {
    opened++;
    try {
      const late = sleep(PROBE_TRY_MS).then(() => Promise.reject(new Error("no answer")));
      const socket = await Promise.race([openAndExchange(job), late]);
      socket.close();
      break;
    } catch (error) {
      if (performance.now() - started > PROBE_MS) throw error;
      await sleep(PROBE_PAUSE_MS);
    }
  }
  const seconds = (performance.now() - started) / 1_000;
  say({ event: "start", opened });
  say({ event: "end", count: 1, seconds, opened, failures: opened - 1, latency: undefined });
}
