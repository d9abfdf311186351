/** HOT PATH. A histogram as plain numbers; what a scrape needs is made when somebody scrapes. */
import type { Labels } from "./labels.ts";

/** Envoy's, for times in milliseconds and for sizes alike. */
export const BOUNDS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000,
  1_800_000, 3_600_000,
];

export interface ScrapedValue {
  readonly metricName: string;
  readonly labels: Labels;
  readonly value: number;
}

export class Histogram {
  /** By bucket; above the last bound they only count in `#count`. */
  readonly #counts: number[] = BOUNDS.map(() => 0);
  #count = 0;
  #sum = 0;

  observe(value: number): void {
    this.#count++;
    this.#sum += value;
    for (let i = 0; i < BOUNDS.length; i++) {
      if (value <= (BOUNDS[i] as number)) {
        this.#counts[i] = (this.#counts[i] as number) + 1;
        return;
      }
    }
  }

  /** Cumulative, as Prometheus wants it. */
  values(name: string, labels: Labels): readonly ScrapedValue[] {
    let below = 0;
    const buckets = BOUNDS.map((bound, i) => {
      below += this.#counts[i] as number;
      return { metricName: `${name}_bucket`, labels: { ...labels, le: String(bound) }, value: below };
    });
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { ...labels, le: "+Inf" }, value: this.#count },
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: this.#count },
    ];
  }
}
