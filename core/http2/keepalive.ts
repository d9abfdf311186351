/** Finds dead connections: a PING after a pause, and an answer in time. Nothing else would tell of a black hole. */
import type { Clock } from "../base/clock.ts";

export interface KeepaliveOptions {
  readonly clock: Clock;
  readonly pingAfterMs: number;
  readonly pongTimeoutMs: number;
  readonly ping: (payload: Uint8Array) => void;
  readonly onSilent: () => void;
}

export class Keepalive {
  readonly #options: KeepaliveOptions;
  #cancel: () => void = () => undefined;
  #sequence = 0;
  #awaiting = false;

  constructor(options: KeepaliveOptions) {
    this.#options = options;
  }

  start(): void {
    this.#cancel = this.#options.clock.after(this.#options.pingAfterMs, () => this.#ping());
  }

  /** An answer to an older PING, or to none, says nothing. */
  onPong(payload: Uint8Array): void {
    if (!this.#awaiting || readSequence(payload) !== this.#sequence) return;
    this.#awaiting = false;
    this.#cancel();
    this.start();
  }

  stop(): void {
    this.#cancel();
  }

  #ping(): void {
    this.#sequence++;
    this.#awaiting = true;
    const payload = new Uint8Array(8);
    new DataView(payload.buffer).setUint32(4, this.#sequence);
    this.#cancel = this.#options.clock.after(this.#options.pongTimeoutMs, () => this.#options.onSilent());
    this.#options.ping(payload);
  }
}

function readSequence(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint32(4);
}
