/**
 * A `Handle` in memory that asserts its contract from the user's side: nothing after shutdown, one start, memory that
 * is written stays unchanged until it is drained. The test plays the peer: `feed`, `end`, `drop`, `drain`.
 */
import assert from "node:assert/strict";
import type { Handle, HandleEvents, ReadBuffers, WriteResult } from "../handle/handle.ts";
import { ip } from "../net/ip.ts";

export class FakeHandle implements Handle {
  readonly local = { ip: ip("10.0.0.1"), port: 15_008 };
  readonly remote = { ip: ip("10.0.0.2"), port: 40_000 };
  readonly copiesOnWrite: boolean;
  closed = false;
  /** True: writes stay queued until `drain`. */
  stalled = false;
  isPaused = false;
  isShutdown = false;
  wasReset = false;
  #events: HandleEvents | undefined;
  #buffers: ReadBuffers | undefined;
  #target: Uint8Array | undefined;
  #written: Buffer[] = [];
  #held: { readonly bytes: Uint8Array; readonly copy: Buffer }[] = [];

  constructor(copiesOnWrite = false) {
    this.copiesOnWrite = copiesOnWrite;
  }

  get queuedBytes(): number {
    return this.#held.reduce((sum, each) => sum + each.bytes.length, 0);
  }

  start(events: HandleEvents, buffers?: ReadBuffers): void {
    assert.equal(this.#events, undefined, "started twice");
    this.#events = events;
    this.#buffers = buffers;
    this.#target = buffers?.next(0);
  }

  write(bytes: Uint8Array): WriteResult {
    return this.writev([bytes]);
  }

  writev(pieces: readonly Uint8Array[]): WriteResult {
    if (this.closed) return "closed";
    assert.equal(this.isShutdown, false, "written after shutdown");
    const isQueued = this.#held.length > 0;
    for (const bytes of pieces) {
      this.#written.push(Buffer.from(bytes));
      if (!this.stalled) continue;
      const copy = Buffer.from(bytes);
      this.#held.push({ bytes: isQueued || this.copiesOnWrite ? copy : bytes, copy });
    }
    return this.stalled ? "queued" : "sent";
  }

  shutdown(): void {
    if (this.closed) return;
    assert.equal(this.isShutdown, false, "shut down twice");
    this.isShutdown = true;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  reset(): void {
    if (this.closed) return;
    this.wasReset = true;
    this.#close(new Error("reset from this side"));
  }

  /** Bytes from the peer, in reads of at most `readBytes`. */
  feed(bytes: Uint8Array, readBytes: number = 16_384): void {
    for (let at = 0; at < bytes.length && !this.closed;) {
      const room = Math.min(readBytes, this.#target?.length ?? readBytes);
      const chunk = bytes.subarray(at, at + room);
      at += chunk.length;
      if (this.#target === undefined || this.#buffers === undefined) {
        this.#events?.onData(Buffer.from(chunk));
        continue;
      }
      this.#target.set(chunk);
      this.#events?.onData(this.#target.subarray(0, chunk.length));
      this.#target = this.#buffers.next(chunk.length);
    }
  }

  /** The peer's FIN. */
  end(): void {
    if (!this.closed) this.#events?.onEnd();
  }

  /** Both directions have ended. */
  finish(): void {
    if (!this.closed) this.#close(undefined);
  }

  /** The connection breaks. */
  drop(error: Error = new Error("ECONNRESET")): void {
    if (!this.closed) this.#close(error);
  }

  /** The peer has read everything. */
  drain(): void {
    for (const { bytes, copy } of this.#held) assert.ok(copy.equals(bytes), "changed while queued");
    this.#held = [];
    if (!this.closed) this.#events?.onDrain();
  }

  /** What was written since the last call. */
  take(): Buffer {
    const bytes = Buffer.concat(this.#written);
    this.#written = [];
    return bytes;
  }

  #close(error: Error | undefined): void {
    this.closed = true;
    setImmediate(() => this.#events?.onClose(error));
  }
}
