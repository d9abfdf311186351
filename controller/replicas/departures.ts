/**
 * Pure. Proxies that were connected to some replica a moment ago and are with none now: on their way to another, most often. A move must not
 * look like an absence that may be passed over.
 */

export class Departures {
  readonly #awayMs: number;
  /** By pod's uid: when it was last seen connected. */
  readonly #last = new Map<string, number>();

  /** `awayMs`: who is nowhere for this long has left. */
  constructor(awayMs: number) {
    this.#awayMs = awayMs;
  }

  /** `watchedToMs`: see `ReplicaSightings`. Nobody has left before all that was written until then is known. */
  note(connected: Iterable<string>, nowMs: number, watchedToMs: number | undefined): void {
    for (const uid of connected) this.#last.set(uid, nowMs);
    if (watchedToMs === undefined) return;
    for (const [uid, lastMs] of this.#last) if (watchedToMs - lastMs >= this.#awayMs) this.#last.delete(uid);
  }

  /** Whoever is connected, or was not long ago. */
  recent(): ReadonlySet<string> {
    return new Set(this.#last.keys());
  }
}
