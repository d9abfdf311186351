/**
 * Writes to the Kubernetes API, at a bounded rate: one pending write per key, the newest wins, failures come again later.
 * Asks right before every write whether this process may still write: a leader that lost its lease must not.
 */
import type { Clock } from "#core/base/clock.ts";
import { describeError } from "#core/runtime/errors.ts";
import { kubeStatus } from "#core/k8s/kube-client.ts";
import type { Logger } from "#core/runtime/log.ts";

export interface WriteQueueOptions {
  readonly perSecond: number;
  readonly burst: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly mayWrite: () => boolean;
}

export type Write = () => Promise<unknown>;

const MAX_ATTEMPTS = 8;
const FIRST_RETRY_MS = 1_000;

interface Item {
  readonly write: Write;
  readonly attempt: number;
}

export class WriteQueue {
  readonly #options: WriteQueueOptions;
  readonly #pending = new Map<string, Item>();
  #tokens: number;
  #refilledMs: number;
  #running = false;
  #stopped = false;

  constructor(options: WriteQueueOptions) {
    this.#options = options;
    this.#tokens = options.burst;
    this.#refilledMs = options.clock.monotonicMs();
  }

  get size(): number {
    return this.#pending.size;
  }

  /** Replaces a pending write of the same key. Dropped when this process may not write by then. */
  put(key: string, write: Write): void {
    if (this.#stopped) return;
    this.#pending.delete(key);
    this.#pending.set(key, { write, attempt: 1 });
    void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.#pending.clear();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let next = this.#pending.entries().next(); !next.done; next = this.#pending.entries().next()) {
      const [key, item] = next.value;
      this.#pending.delete(key);
      if (!this.#options.mayWrite()) continue;
      await this.#pace();
      if (!this.#stopped && this.#options.mayWrite()) await this.#attempt(key, item);
    }
    this.#running = false;
  }

  async #pace(): Promise<void> {
    const { clock, perSecond, burst } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#tokens = Math.min(burst, this.#tokens + ((nowMs - this.#refilledMs) * perSecond) / 1_000);
    this.#refilledMs = nowMs;
    this.#tokens -= 1;
    if (this.#tokens < 0) await clock.sleep(Math.ceil((-this.#tokens * 1_000) / perSecond));
  }

  async #attempt(key: string, item: Item): Promise<void> {
    const { clock, log } = this.#options;
    try {
      await item.write();
    } catch (error) {
      // The object is gone: nothing is left to write to.
      if (kubeStatus(error) === 404) return;
      const delayMs = FIRST_RETRY_MS * 2 ** (item.attempt - 1);
      log.warn(
        { key, error: describeError(error), attempt: item.attempt, retry_ms: delayMs },
        "write failed",
      );
      if (item.attempt >= MAX_ATTEMPTS || this.#stopped) return;
      clock.after(delayMs, () => this.#again(key, { ...item, attempt: item.attempt + 1 }));
    }
  }

  #again(key: string, item: Item): void {
    if (this.#stopped || this.#pending.has(key)) return;
    this.#pending.set(key, item);
    void this.#run();
  }
}
