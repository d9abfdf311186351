/**
 * How much may be under way at once: new streams per second, and bytes sent but not acknowledged. TLS keeps ciphertext
 * per client, so sharing frames does not bound memory; this does. Who must wait, waits unread: nobody is refused.
 */

export interface AdmissionOptions {
  readonly maxBytesInFlight: number;
  /** PILOT_MAX_REQUESTS_PER_SECOND: streams that may begin within a second. */
  readonly newStreamsPerSecond: number;
}

export class Admission {
  readonly #options: AdmissionOptions;
  #bytesInFlight = 0;
  #tokens: number;
  #refilledMs = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#tokens = options.newStreamsPerSecond;
  }

  get bytesInFlight(): number {
    return this.#bytesInFlight;
  }

  /** Milliseconds until one more stream may be read; 0 takes the place. */
  delayForNewStream(nowMs: number): number {
    const { newStreamsPerSecond } = this.#options;
    const earned = ((nowMs - this.#refilledMs) * newStreamsPerSecond) / 1_000;
    this.#tokens = Math.min(newStreamsPerSecond, this.#tokens + earned);
    this.#refilledMs = nowMs;
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1_000) / newStreamsPerSecond);
  }

  /** One response always fits, however large: else a large mesh would never be sent. */
  hasRoom(): boolean {
    return this.#bytesInFlight < this.#options.maxBytesInFlight;
  }

  /** Bytes of one stream went from `before` to `after`. */
  account(before: number, after: number): void {
    this.#bytesInFlight += after - before;
  }
}
