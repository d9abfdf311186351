/** Pure. Exponential delays with jitter; the random source is passed in so that tests are exact. */

export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  readonly factor?: number;
  /** Share of the delay that is random, 0..1: 0.2 gives ±20 %. */
  readonly jitter?: number;
}

export interface Backoff {
  /** The next delay in milliseconds; grows with each call. */
  next(): number;
  /** Back to the first delay, after a success. */
  reset(): void;
}

export function createBackoff(options: BackoffOptions, random: () => number = Math.random): Backoff {
  const { firstMs, maxMs, factor = 2, jitter = 0.2 } = options;
  let current = firstMs;
  return {
    next: () => {
      const delay = current * (1 + jitter * (random() * 2 - 1));
      current = Math.min(maxMs, current * factor);
      return Math.min(maxMs, delay);
    },
    reset: () => {
      current = firstMs;
    },
  };
}
