/** The recent changes of one resource, bounded: a watch may start from any revision that the ring still reaches back to. */
import type { StoreEvent } from "./object-store.ts";

export class EventRing {
  readonly #limit: number;
  #events: StoreEvent[] = [];
  /** The newest revision that was forgotten: watches must start at it or later. */
  #trimmed: number;

  constructor(limit: number, trimmed: number) {
    this.#limit = limit;
    this.#trimmed = trimmed;
  }

  get trimmed(): number {
    return this.#trimmed;
  }

  push(event: StoreEvent): void {
    this.#events.push(event);
    if (this.#events.length <= this.#limit * 1.25) return; // trimmed in batches: shifting one by one costs a copy each
    const gone = this.#events.splice(0, this.#events.length - this.#limit);
    this.#trimmed = gone.at(-1)?.revision ?? this.#trimmed;
  }

  /** Everything after `revision`, oldest first. */
  after(revision: number): readonly StoreEvent[] {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle]?.revision ?? 0) > revision) high = middle;
      else low = middle + 1;
    }
    return this.#events.slice(low);
  }
}
