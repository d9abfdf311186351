/** HOT PATH. New connections as fast as `parallel` slots make them: connect, one byte there and back, close. */
import { setTimeout as sleep } from "node:timers/promises";
import { LatencyHistogram } from "../stats/latency-histogram.ts";
import type { LoadJob, LoadMessage } from "./messages.ts";
import { connectTcp, RawTcp } from "./raw-tcp.ts";
import { summarize } from "./summarize.ts";

type ConnectionsJob = Extract<LoadJob, { readonly kind: "connections" }>;

/** After the measured time, connections under way may finish, so that all counts agree. */
const FINISH_MS = 5_000;
const PAUSE_AFTER_FAILURE_MS = 5;

export async function runConnections(
  job: ConnectionsJob,
  say: (message: LoadMessage) => void,
): Promise<void> {
  const load = new ConnectionLoad(job);
  load.begin();
  await sleep(job.warmupSeconds * 1_000);
  say({ event: "start", opened: load.opened });
  load.histogram.clear();
  const started = performance.now();
  await sleep(job.seconds * 1_000);
  const seconds = (performance.now() - started) / 1_000;
  const { count } = load.histogram;
  const latency = summarize(load.histogram);
  await load.finish();
  say({ event: "end", count, seconds, opened: load.opened, failures: load.failures, latency });
}

class ConnectionLoad {
  readonly histogram = new LatencyHistogram();
  opened = 0;
  failures = 0;
  readonly #job: ConnectionsJob;
  #running = true;
  #active = 0;

  constructor(job: ConnectionsJob) {
    this.#job = job;
  }

  begin(): void {
    for (let i = 0; i < this.#job.parallel; i++) this.#open();
  }

  async finish(): Promise<void> {
    this.#running = false;
    for (let waited = 0; this.#active > 0 && waited < FINISH_MS; waited += 20) await sleep(20);
    this.failures += this.#active;
  }

  #open(): void {
    if (!this.#running) return;
    this.#active++;
    const startedAt = performance.now();
    let socket: RawTcp | undefined;
    const events = {
      onBytes: () => {
        this.histogram.record((performance.now() - startedAt) * 1_000);
        socket?.close();
        this.#done();
      },
      onClosed: () => this.#failed(),
    };
    connectTcp(this.#job, events, (result) => {
      if (!(result instanceof RawTcp)) return this.#failed();
      this.opened++;
      socket = result;
      socket.write(1);
    });
  }

  #done(): void {
    this.#active--;
    this.#open();
  }

  #failed(): void {
    this.failures++;
    this.#active--;
    setTimeout(() => this.#open(), PAUSE_AFTER_FAILURE_MS);
  }
}
