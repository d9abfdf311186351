/**
 * HOT PATH. Bytes from a handle to a consumer that may not want them now: what it leaves is kept, in order, and the handle is paused at a bound.
 * The bound leaves room to notice that the peer closed.
 */
import type { Handle } from "../handle/handle.ts";
import { KeptBytes, type KeptLimit, PROCESS_KEPT_LIMIT } from "../handle/kept-bytes.ts";
import { MAX_KEPT_BYTES } from "./http1-limits.ts";

export interface Consumer {
  /** Takes from `bytes[at..end)` and returns where it stopped; `at` when it wants nothing now. */
  consume(bytes: Uint8Array, at: number, end: number): number;
  /** Everything that came was offered. */
  afterInput(): void;
}

export class Input {
  readonly #handle: Handle;
  readonly #consumer: Consumer;
  readonly #limit: KeptLimit;
  readonly #kept: KeptBytes;
  #isRunning = false;
  #isPaused = false;
  #isDropped = false;

  constructor(handle: Handle, consumer: Consumer, limit: KeptLimit = PROCESS_KEPT_LIMIT) {
    this.#handle = handle;
    this.#consumer = consumer;
    this.#limit = limit;
    this.#kept = new KeptBytes(limit);
  }

  get keptBytes(): number {
    return this.#kept.length;
  }

  /** The consumer is being given bytes. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Bytes that come before any other, offered once this turn is over. `onBug`: the consumer threw, and nobody above would know. */
  preload(bytes: Uint8Array, onBug: (cause: unknown) => void): void {
    this.#kept.append(bytes);
    queueMicrotask(() => {
      try {
        this.run();
      } catch (error) {
        onBug(error);
      }
    });
  }

  feed(bytes: Uint8Array): void {
    if (this.#isDropped) return;
    if (this.#isRunning || this.#kept.length > 0) {
      this.#keep(bytes);
      this.run();
      return;
    }
    this.#isRunning = true;
    const at = this.#offer(bytes);
    if (at < bytes.length && !this.#isDropped) this.#keep(at === 0 ? bytes : bytes.subarray(at));
    this.#isRunning = false;
    this.#settle();
  }

  /** The consumer may want bytes again. */
  run(): void {
    if (this.#isRunning || this.#isDropped) return;
    this.#isRunning = true;
    while (this.#kept.length > 0 && !this.#isDropped) {
      const view = this.#kept.peek();
      const taken = this.#offer(view);
      if (this.#isDropped) break;
      this.#kept.drop(taken);
      if (taken < view.length) break;
    }
    this.#isRunning = false;
    this.#settle();
  }

  /** Nothing is given out any more. */
  drop(): void {
    this.#isDropped = true;
    if (!this.#isRunning) this.#kept.clear();
  }

  /** Who would need more than all may keep is given up. */
  #keep(bytes: Uint8Array): void {
    if (this.#limit.isReached) this.#handle.reset();
    else this.#kept.append(bytes);
  }

  #offer(bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length && !this.#isDropped) {
      const next = this.#consumer.consume(bytes, at, bytes.length);
      if (next === at) break;
      at = next;
    }
    return at;
  }

  #settle(): void {
    if (this.#isDropped) {
      this.#kept.clear();
      return;
    }
    this.#consumer.afterInput();
    if (this.#isDropped || this.#isRunning) return;
    const isFull = this.#kept.length >= MAX_KEPT_BYTES;
    if (isFull === this.#isPaused) return;
    if (this.#isPaused && this.#kept.length > 0) return;
    this.#isPaused = isFull;
    if (isFull) this.#handle.pause();
    else this.#handle.resume();
  }
}
