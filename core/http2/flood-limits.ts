/**
 * HOT PATH, pure. How much of what costs us more than the peer a connection may carry. Time is passed in.
 * A method that returns false means: GOAWAY with ENHANCE_YOUR_CALM, and close.
 */

export interface BucketLimits {
  readonly capacity: number;
  readonly perSecond: number;
}

export interface FloodLimits {
  /** Streams that the peer opened and reset itself, or that were refused for being malformed. */
  readonly resets: BucketLimits;
  /** Every frame that moves no payload: PING, SETTINGS, WINDOW_UPDATE, PRIORITY, RST_STREAM, empty DATA, unknown. */
  readonly controlFrames: BucketLimits;
  /** Tokens that each KiB of DATA, of either side, gives back to `controlFrames`: WINDOW_UPDATEs go with traffic. */
  readonly controlFramesPerKib: number;
  /** Tokens that each answered stream gives back: default none. */
  readonly controlFramesPerStream?: number;
  /** One header block as sent, over HEADERS and all its CONTINUATION frames. */
  readonly headerBlockBytes: number;
  readonly continuationFrames: number;
}

const DEFAULT_FLOOD_LIMITS: FloodLimits = {
  resets: { capacity: 200, perSecond: 50 },
  controlFrames: { capacity: 10_000, perSecond: 1_000 },
  controlFramesPerKib: 1,
  headerBlockBytes: 65_536,
  continuationFrames: 8,
};

/** A token bucket that starts full. `nowMs` is monotonic. */
export class TokenBucket {
  readonly #capacity: number;
  readonly #perMs: number;
  #tokens: number;
  #atMs: number;

  constructor(limits: BucketLimits, nowMs: number) {
    this.#capacity = limits.capacity;
    this.#perMs = limits.perSecond / 1_000;
    this.#tokens = limits.capacity;
    this.#atMs = nowMs;
  }

  /** Takes one token; false when there is none. */
  take(nowMs: number): boolean {
    this.#refill(nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  give(tokens: number): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + tokens);
  }

  #refill(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#atMs = nowMs;
    this.give(elapsedMs * this.#perMs);
  }
}

/** All limits of one connection. */
export class FloodGuard {
  readonly #limits: FloodLimits;
  readonly #resets: TokenBucket;
  readonly #control: TokenBucket;
  #blockBytes = 0;
  #continuations = 0;

  constructor(nowMs: number, limits: FloodLimits = DEFAULT_FLOOD_LIMITS) {
    this.#limits = limits;
    this.#resets = new TokenBucket(limits.resets, nowMs);
    this.#control = new TokenBucket(limits.controlFrames, nowMs);
  }

  /** A stream ended by the peer's RST_STREAM, or by ours because the peer broke a rule on it. */
  onReset(nowMs: number): boolean {
    return this.#resets.take(nowMs);
  }

  /** A frame without payload for anyone; empty DATA without END_STREAM included. */
  onControlFrame(nowMs: number): boolean {
    return this.#control.take(nowMs);
  }

  onData(bytes: number): void {
    this.#control.give((bytes / 1_024) * this.#limits.controlFramesPerKib);
  }

  /** What we send is acknowledged by WINDOW_UPDATEs. */
  onDataSent(bytes: number): void {
    this.onData(bytes);
  }

  onAnswer(): void {
    this.#control.give(this.#limits.controlFramesPerStream ?? 0);
  }

  /** HEADERS has come; `bytes` of its header block fragment. */
  onHeaders(bytes: number): boolean {
    this.#blockBytes = bytes;
    this.#continuations = 0;
    return bytes <= this.#limits.headerBlockBytes;
  }

  /** CONTINUATION has come; empty ones count too. */
  onContinuation(bytes: number): boolean {
    this.#blockBytes += bytes;
    this.#continuations++;
    return (
      this.#blockBytes <= this.#limits.headerBlockBytes &&
      this.#continuations <= this.#limits.continuationFrames
    );
  }
}
