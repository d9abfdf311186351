/** Latencies in buckets of 1 % width: constant memory, one logarithm per value. */

const GROWTH = Math.log(1.01);
/** Up to 1.01^2400 us, more than an hour. */
const BUCKETS = 2_400;

export class LatencyHistogram {
  readonly #counts = new Uint32Array(BUCKETS);
  #total = 0;
  #max = 0;

  get count(): number {
    return this.#total;
  }

  get maxUs(): number {
    return this.#max;
  }

  record(us: number): void {
    const bucket = us <= 1 ? 0 : Math.min(BUCKETS - 1, Math.floor(Math.log(us) / GROWTH));
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#total++;
    if (us > this.#max) this.#max = us;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
    this.#max = 0;
  }

  /** Microseconds below which `share` (0 to 1) of the values lie, within 1 %; 0 without values. */
  quantileUs(share: number): number {
    const wanted = share * this.#total;
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket] ?? 0;
      if (seen > 0 && seen >= wanted) return Math.min(Math.exp((bucket + 0.5) * GROWTH), this.#max);
    }
    return 0;
  }
}
