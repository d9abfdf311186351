/**
 * A handle around another one that keeps or looks at what is read first, and then lets everything through: into this one's memory
 * until `pass`, from then on into that of whoever was given to `start`.
 */
import type { HandleEvents, ReadBuffers } from "./handle.ts";
import { WrappedHandle } from "./wrapped-handle.ts";

export const PASSING_MEMORY_BYTES = 16 * 1024;

export abstract class PassingHandle extends WrappedHandle implements HandleEvents, ReadBuffers {
  protected events: HandleEvents | undefined;
  readonly #memory = Buffer.allocUnsafeSlow(PASSING_MEMORY_BYTES);
  #buffers: ReadBuffers | undefined;
  #isPassing = false;
  /** Memory of the owner is in use: before, a read was into ours. */
  #isLent = false;

  /** Everything that is read goes to `events` as it comes. */
  protected get isPassing(): boolean {
    return this.#isPassing;
  }

  override start(events: HandleEvents, buffers?: ReadBuffers): void {
    this.events = events;
    this.#buffers = buffers;
  }

  next(filled: number): Uint8Array {
    if (!this.#isPassing || this.#buffers === undefined) return this.#memory;
    const next = this.#buffers.next(this.#isLent ? filled : 0);
    this.#isLent = true;
    return next;
  }

  onData(bytes: Uint8Array): void {
    if (this.#isPassing) this.events?.onData(bytes);
    else this.onFirstData(bytes);
  }

  onEnd(): void {
    this.events?.onEnd();
  }

  onDrain(): void {
    this.events?.onDrain();
  }

  onClose(error: Error | undefined): void {
    this.events?.onClose(error);
  }

  /** What is read before `pass`. The view is valid until this returns. */
  protected abstract onFirstData(bytes: Uint8Array): void;

  protected pass(): void {
    this.#isPassing = true;
  }
}
