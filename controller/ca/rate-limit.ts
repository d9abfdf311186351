/** Token buckets by key, bounded in number: an attacker with many addresses cannot grow them. */
import { Lru } from "#core/base/lru.ts";

export interface RateLimitOptions {
  readonly perSecond: number;
  readonly burst: number;
  readonly maxKeys?: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

export class RateLimit {
  readonly #options: RateLimitOptions;
  readonly #buckets: Lru<string, Bucket>;
  readonly #nowMs: () => number;

  constructor(options: RateLimitOptions, nowMs: () => number) {
    this.#options = options;
    this.#nowMs = nowMs;
    this.#buckets = new Lru(options.maxKeys ?? 10_000);
  }

  /** False when the key has used up its share. */
  take(key: string): boolean {
    const nowMs = this.#nowMs();
    const { perSecond, burst } = this.#options;
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: nowMs };
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) * perSecond) / 1_000);
    bucket.atMs = nowMs;
    this.#buckets.set(key, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}
