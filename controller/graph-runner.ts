/** Brings the graph up to date in slices of a few milliseconds, so that no change blocks the event loop for long. */
import type { Scheduler } from "./collections/scheduler.ts";

const SLICE_MS = 5;

export class GraphRunner {
  readonly #scheduler: Scheduler;
  readonly #onIdle: () => void;
  #scheduled = false;

  /** `onIdle` runs whenever everything derived is up to date again. */
  constructor(scheduler: Scheduler, onIdle: () => void) {
    this.#scheduler = scheduler;
    this.#onIdle = onIdle;
  }

  /** Inputs have changed. */
  poke(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#slice());
  }

  #slice(): void {
    this.#scheduled = false;
    const endMs = performance.now() + SLICE_MS;
    if (this.#scheduler.run(() => performance.now() >= endMs)) this.#onIdle();
    else this.poke();
  }
}
