/** A clock that moves only when told; wall clock and monotonic time can part, as they do on real machines. */
import type { Clock } from "../base/clock.ts";

export interface ManualClock extends Clock {
  /** Moves both times on and runs what became due, in order, letting promises settle after each. */
  advance(ms: number): Promise<void>;
  /** Moves the wall clock alone. */
  jumpWall(ms: number): void;
  /** Timers that wait. */
  readonly pending: number;
}

interface Timer {
  readonly atMs: number;
  readonly task: () => void;
}

/** Both times start at `startMs`, by default some moment of 2026. */
export function createManualClock(startMs: number = Date.UTC(2026, 0, 1)): ManualClock {
  let monotonicMs = 0;
  let wallOffsetMs = startMs;
  const timers = new Set<Timer>();
  const after = (ms: number, task: () => void): (() => void) => {
    const timer = { atMs: monotonicMs + Math.max(0, ms), task };
    timers.add(timer);
    return () => timers.delete(timer);
  };
  const nextDue = (untilMs: number): Timer | undefined =>
    [...timers].filter((timer) => timer.atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs)[0];

  return {
    nowMs: () => monotonicMs + wallOffsetMs,
    monotonicMs: () => monotonicMs,
    after,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason as Error);
          return;
        }
        const cancel = after(ms, resolve);
        const onAbort = (): void => {
          cancel();
          reject(signal?.reason as Error);
        };
        signal?.addEventListener("abort", onAbort, { once: true });
      }),
    advance: async (ms) => {
      const untilMs = monotonicMs + ms;
      await settle();
      for (let timer = nextDue(untilMs); timer !== undefined; timer = nextDue(untilMs)) {
        monotonicMs = Math.max(monotonicMs, timer.atMs);
        timers.delete(timer);
        timer.task();
        await settle();
      }
      monotonicMs = untilMs;
      await settle();
    },
    jumpWall: (ms) => {
      wallOffsetMs += ms;
    },
    get pending() {
      return timers.size;
    },
  };
}

/** Lets everything that is ready to run do so: promises and immediates. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
