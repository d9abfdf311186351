/** Keys waiting for work: each once, one at a time, again with a growing delay when the work failed. */
import type { Clock } from "#core/base/clock.ts";
import type { Logger } from "#core/runtime/log.ts";

export interface WorkQueue {
  /** `delayMs` postpones; an earlier call for the same key wins. */
  add(key: string, delayMs?: number): void;
  stop(): void;
}

export interface QueueDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 15_000;

export function workQueue(name: string, work: (key: string) => Promise<void>, deps: QueueDeps): WorkQueue {
  return new Queue(name, work, deps);
}

class Queue implements WorkQueue {
  readonly #name: string;
  readonly #work: (key: string) => Promise<void>;
  readonly #deps: QueueDeps;
  readonly #waiting = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, () => void>();
  #running = false;
  #stopped = false;

  constructor(name: string, work: (key: string) => Promise<void>, deps: QueueDeps) {
    this.#name = name;
    this.#work = work;
    this.#deps = deps;
  }

  add(key: string, delayMs = 0): void {
    if (this.#stopped) return;
    if (delayMs > 0) {
      this.#addLater(key, delayMs);
      return;
    }
    this.#timers.get(key)?.();
    this.#timers.delete(key);
    this.#waiting.add(key);
    this.#start();
  }

  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#timers.values()) cancel();
  }

  #addLater(key: string, delayMs: number): void {
    if (this.#timers.has(key)) return;
    const cancel = this.#deps.clock.after(delayMs, () => {
      this.#timers.delete(key);
      this.add(key);
    });
    this.#timers.set(key, cancel);
  }

  #start(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      await this.#once(key);
      if (this.#stopped) break;
    }
    this.#running = false;
    if (this.#waiting.size > 0) this.#start();
  }

  async #once(key: string): Promise<void> {
    try {
      await this.#work(key);
      this.#failures.delete(key);
    } catch (error) {
      const attempt = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, attempt);
      const why = error instanceof Error ? error.message : String(error);
      this.#deps.log.debug({ controller: this.#name, key, error: why, attempt }, "reconciling failed");
      this.add(key, Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempt, 10)));
    }
  }
}
