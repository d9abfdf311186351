/**
 * Names of changed resources in order. A stream keeps a position in it, never a queue: what a slow client missed is
 * merged when it is read. Cut below the smallest position in use.
 */
export class ChangeLog {
  #names: string[] = [];
  #base = 0;

  /** Position after the newest entry. */
  get head(): number {
    return this.#base + this.#names.length;
  }

  /** The oldest position from which one can still read. */
  get tail(): number {
    return this.#base;
  }

  append(names: Iterable<string>): void {
    for (const name of names) this.#names.push(name);
  }

  /** Distinct names of the entries in [from, to). */
  between(from: number, to: number): ReadonlySet<string> {
    return new Set(this.#names.slice(Math.max(0, from - this.#base), Math.max(0, to - this.#base)));
  }

  /** Forgets entries below `position`, and the oldest above `limit` entries. */
  trim(position: number, limit: number): void {
    const cut = Math.max(Math.min(position, this.head), this.head - limit);
    // Cutting costs a copy of the rest: only when it pays.
    if (cut - this.#base < 1_024 || cut - this.#base < this.#names.length / 4) return;
    this.#names = this.#names.slice(cut - this.#base);
    this.#base = cut;
  }
}
