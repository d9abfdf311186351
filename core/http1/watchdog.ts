/** One lazy timer of a connection: moving the deadline back, as every request does, costs no timer. */
import type { Clock } from "../base/clock.ts";

export class Watchdog {
  readonly #clock: Clock;
  readonly #onExpired: () => void;
  readonly #onBug: (cause: unknown) => void;
  #deadlineMs = 0;
  #armedForMs = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | undefined;
  #isStopped = false;

  /** `onBug`: `onExpired` threw, and nobody above a timer would know. */
  constructor(clock: Clock, onExpired: () => void, onBug: (cause: unknown) => void) {
    this.#clock = clock;
    this.#onExpired = onExpired;
    this.#onBug = onBug;
  }

  /** Expires `ms` from now, unless it is set again. */
  set(ms: number): void {
    if (this.#isStopped) return;
    this.#deadlineMs = this.#clock.monotonicMs() + ms;
    if (this.#cancel === undefined || this.#deadlineMs < this.#armedForMs) this.#arm(ms);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(ms: number): void {
    this.#cancel?.();
    this.#armedForMs = this.#clock.monotonicMs() + ms;
    this.#cancel = this.#clock.after(Math.max(1, ms), () => this.#onTimer());
  }

  #onTimer(): void {
    this.#cancel = undefined;
    const leftMs = this.#deadlineMs - this.#clock.monotonicMs();
    if (leftMs > 0) {
      this.#arm(leftMs);
      return;
    }
    try {
      this.#onExpired();
    } catch (error) {
      this.#onBug(error);
    }
  }
}
