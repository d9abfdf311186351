/**
 * The application's side of a connection, read before there is another side to give it to: the only way to notice that
 * the application has gone. What arrives is kept, at most 16 KiB, then reading stops; `start` delivers it first. From
 * then on every event passes through, so only connections whose dial is slow are given to it.
 */
import type { Handle, HandleEvents, ReadBuffers } from "#core/handle/handle.ts";
import { PASSING_MEMORY_BYTES, PassingHandle } from "#core/handle/passing-handle.ts";

export class HeldHandle extends PassingHandle {
  readonly #onLost: () => void;
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;
  #hasEnded = false;
  #lost: { readonly error: Error | undefined } | undefined;
  #isPaused = false;

  /** Starts `inner`. `onLost` is told when the connection ends before `start`. */
  constructor(inner: Handle, onLost: () => void) {
    super(inner);
    this.#onLost = onLost;
    inner.start(this, this);
  }

  override start(events: HandleEvents, buffers?: ReadBuffers): void {
    super.start(events, buffers);
    process.nextTick(() => this.#deliver(events));
  }

  override pause(): void {
    this.#isPaused = true;
    super.pause();
  }

  override resume(): void {
    this.#isPaused = false;
    if (this.isPassing) super.resume();
  }

  override onEnd(): void {
    this.#hasEnded = true;
    if (this.isPassing) super.onEnd();
  }

  override onClose(error: Error | undefined): void {
    this.#lost = { error };
    if (this.isPassing) super.onClose(error);
    else if (this.events === undefined) this.#onLost();
  }

  protected override onFirstData(bytes: Uint8Array): void {
    this.#kept.push(Buffer.from(bytes));
    this.#keptBytes += bytes.length;
    if (this.#keptBytes >= PASSING_MEMORY_BYTES) this.inner.pause();
  }

  #deliver(events: HandleEvents): void {
    try {
      for (const bytes of this.#kept.splice(0)) if (!this.inner.closed) events.onData(bytes);
      if (this.#hasEnded && !this.inner.closed) events.onEnd();
    } catch {
      this.inner.reset();
    }
    this.pass();
    if (this.#lost !== undefined) events.onClose(this.#lost.error);
    else if (!this.#isPaused) this.inner.resume();
  }
}
