/**
 * The application's side of a connection, read before there is another side to give it to: the only way to notice that
 * the application has gone. What arrives is kept, at most 16 KiB, then reading stops; `start` delivers it first. From
 * then on every event passes through, so only connections whose dial is slow are given to it.
 */
import type { Handle, HandleEvents, ReadBuffers } from "#core/handle/handle.ts";
import { WrappedHandle } from "#core/handle/wrapped-handle.ts";

const MAX_KEPT_BYTES = 16 * 1024;

export class HeldHandle extends WrappedHandle implements HandleEvents, ReadBuffers {
  readonly #onLost: () => void;
  readonly #memory = Buffer.allocUnsafeSlow(MAX_KEPT_BYTES);
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;
  #hasEnded = false;
  #lost: { readonly error: Error | undefined } | undefined;
  #events: HandleEvents | undefined;
  #buffers: ReadBuffers | undefined;
  /** Events go to `#events` as they come. */
  #isPassing = false;
  /** Memory of the new owner is in use: before, a read was into ours. */
  #isLent = false;
  #isPaused = false;

  /** Starts `inner`. `onLost` is told when the connection ends before `start`. */
  constructor(inner: Handle, onLost: () => void) {
    super(inner);
    this.#onLost = onLost;
    inner.start(this, this);
  }

  override start(events: HandleEvents, buffers?: ReadBuffers): void {
    this.#events = events;
    this.#buffers = buffers;
    process.nextTick(() => this.#deliver(events));
  }

  override pause(): void {
    this.#isPaused = true;
    super.pause();
  }

  override resume(): void {
    this.#isPaused = false;
    if (this.#isPassing) super.resume();
  }

  next(filled: number): Uint8Array {
    if (!this.#isPassing || this.#buffers === undefined) return this.#memory;
    const next = this.#buffers.next(this.#isLent ? filled : 0);
    this.#isLent = true;
    return next;
  }

  onData(bytes: Uint8Array): void {
    if (this.#isPassing) {
      this.#events?.onData(bytes);
      return;
    }
    this.#kept.push(Buffer.from(bytes));
    this.#keptBytes += bytes.length;
    if (this.#keptBytes >= MAX_KEPT_BYTES) this.inner.pause();
  }

  onEnd(): void {
    this.#hasEnded = true;
    if (this.#isPassing) this.#events?.onEnd();
  }

  onDrain(): void {
    this.#events?.onDrain();
  }

  onClose(error: Error | undefined): void {
    this.#lost = { error };
    if (this.#isPassing) this.#events?.onClose(error);
    else if (this.#events === undefined) this.#onLost();
  }

  #deliver(events: HandleEvents): void {
    try {
      for (const bytes of this.#kept.splice(0)) if (!this.inner.closed) events.onData(bytes);
      if (this.#hasEnded && !this.inner.closed) events.onEnd();
    } catch {
      this.inner.reset();
    }
    this.#isPassing = true;
    if (this.#lost !== undefined) events.onClose(this.#lost.error);
    else if (!this.#isPaused) this.inner.resume();
  }
}
