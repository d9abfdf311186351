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

export function workQueue(
  name: string,
  work: (key: string) => Promise<void>,
  { clock, log }: QueueDeps,
): WorkQueue {
  const waiting = new Set<string>();
  const failures = new Map<string, number>();
  const timers = new Map<string, () => void>();
  let running = false;
  let stopped = false;

  const runNext = async (): Promise<void> => {
    for (const key of waiting) {
      waiting.delete(key);
      try {
        await work(key);
        failures.delete(key);
      } catch (error) {
        const count = (failures.get(key) ?? 0) + 1;
        failures.set(key, count);
        log.debug(
          {
            controller: name,
            key,
            error: error instanceof Error ? error.message : String(error),
            attempt: count,
          },
          "reconciling failed",
        );
        queue.add(key, Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(count, 10)));
      }
      if (stopped) break;
    }
    running = false;
    if (waiting.size > 0 && !stopped) start();
  };
  const start = (): void => {
    if (running || stopped) return;
    running = true;
    setImmediate(() => void runNext());
  };
  const queue: WorkQueue = {
    add: (key, delayMs = 0) => {
      if (stopped) return;
      if (delayMs > 0) {
        if (timers.has(key)) return;
        timers.set(
          key,
          clock.after(delayMs, () => {
            timers.delete(key);
            queue.add(key);
          }),
        );
        return;
      }
      timers.get(key)?.();
      timers.delete(key);
      waiting.add(key);
      start();
    },
    stop: () => {
      stopped = true;
      for (const cancel of timers.values()) cancel();
    },
  };
  return queue;
}
