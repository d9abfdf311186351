/** For tests: starts a handle, keeps everything that happens to it, and writes with back-pressure. */
import type { Handle, HandleEvents } from "../handle/handle.ts";

export class RecordingEvents implements HandleEvents {
  readonly #handle: Handle;
  readonly #chunks: Buffer[] = [];
  readonly #ended = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  #drain = Promise.withResolvers<void>();
  byteCount = 0;
  closeCount = 0;
  hasEnded = false;
  error: Error | undefined;
  readonly ended: Promise<void> = this.#ended.promise;
  readonly closed: Promise<void> = this.#closed.promise;

  constructor(handle: Handle) {
    this.#handle = handle;
    handle.start(this);
  }

  onData(bytes: Uint8Array): void {
    this.byteCount += bytes.length;
    this.#chunks.push(Buffer.from(bytes));
  }

  onEnd(): void {
    this.hasEnded = true;
    this.#ended.resolve();
  }

  onDrain(): void {
    this.#drain.resolve();
    this.#drain = Promise.withResolvers();
  }

  onClose(error: Error | undefined): void {
    this.closeCount++;
    this.error = error;
    this.#drain.resolve();
    this.#ended.resolve();
    this.#closed.resolve();
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** The next time that everything queued is gone. */
  drained(): Promise<void> {
    return this.#drain.promise;
  }

  async writeAll(bytes: Buffer, pieceBytes: number): Promise<void> {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const result = this.#handle.write(bytes.subarray(at, at + pieceBytes));
      if (result === "closed") return;
      if (result === "queued") await this.drained();
    }
  }
}

/** Loop turns, for what has no event to wait for. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 2));
}
