/**
 * HOT PATH. The reading half of a raw stream: memory that stays referenced until the wrap is closed, bytes kept until
 * somebody asks for them, and nothing thrown into C++.
 */
import { EarlyReads } from "./early-reads.ts";
import type { HandleEvents, ReadBuffers } from "./handle.ts";
import { callbackError, systemError } from "./handle-errors.ts";
import type { RawBindings } from "./raw-bindings.ts";
import { type OwnedWrap, ownWrap, type RawStreamParts, readWrap, type WrapOwner } from "./raw-wrap.ts";
import { sharedReadBuffer } from "./shared-read-buffers.ts";

const EOF = -4095;

export abstract class RawReads implements WrapOwner {
  closed = false;
  protected readonly bindings: RawBindings;
  protected readonly wrap: OwnedWrap;
  protected events: HandleEvents | undefined;
  protected endReported = false;
  #buffers: ReadBuffers | undefined;
  #buffer: Uint8Array = sharedReadBuffer;
  /** An adopted wrap reads into the shared buffer until its first read after `start`. */
  #readsIntoLent = false;
  /** Of an adopted wrap. */
  #early: EarlyReads | undefined;
  #reading = false;
  #readEnded = false;

  constructor({ bindings, wrap }: RawStreamParts) {
    this.bindings = bindings;
    this.wrap = wrap;
    ownWrap(wrap, this);
  }

  /** Ends abnormally. */
  abstract fail(error: Error): void;
  abstract onWrapClosed(): void;
  /** The peer's FIN was reported. */
  protected abstract afterEnd(): void;

  /** Takes over a wrap that is already reading: bytes are kept until `start`. */
  adopt(): void {
    this.#early = new EarlyReads();
    this.wrap.onread = readWrap;
    this.wrap.useUserBuffer(this.#buffer);
    this.wrap.readStart();
    this.#reading = true;
  }

  pause(): void {
    if (!this.#reading || this.closed || this.#readEnded) return;
    this.#reading = false;
    this.wrap.readStop();
  }

  resume(): void {
    if (!this.closed && !this.#readEnded) this.#begin();
  }

  /** Called by the wrap only: a read finished. Returns the next buffer, or undefined to keep the present one. */
  onRead(): Uint8Array | undefined {
    const result = this.bindings.state[this.bindings.readResult] ?? 0;
    if (this.closed || result === 0) return undefined;
    try {
      if (result > 0) return this.#deliver(result);
      this.#readFailed(result);
    } catch (error) {
      this.fail(callbackError(error));
    }
    return undefined;
  }

  protected startReading(buffers: ReadBuffers | undefined): void {
    this.#buffers = buffers;
    if (this.wrap.onread !== readWrap) {
      this.#buffer = buffers?.next(0) ?? sharedReadBuffer;
      this.#readsIntoLent = buffers !== undefined;
      this.wrap.onread = readWrap;
      this.wrap.useUserBuffer(this.#buffer);
      this.#begin();
    } else if (this.#hasEarly || this.#readEnded) {
      process.nextTick(() => this.#deliverEarly());
    }
  }

  /** Nothing is read any more. */
  protected forgetBuffers(): void {
    this.#buffers = undefined;
  }

  protected call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.fail(callbackError(error));
    }
  }

  get #hasEarly(): boolean {
    return this.#early?.isEmpty === false;
  }

  #begin(): void {
    if (this.#reading) return;
    this.#reading = true;
    const status = this.wrap.readStart();
    if (status < 0) this.fail(systemError(status, "read"));
  }

  #deliver(byteCount: number): Uint8Array | undefined {
    const bytes = byteCount === this.#buffer.length ? this.#buffer : this.#buffer.subarray(0, byteCount);
    if (this.events === undefined || this.#hasEarly) {
      this.#early?.keep(bytes);
      return undefined;
    }
    const isLent = this.#buffers === undefined || this.#readsIntoLent;
    this.events.onData(isLent ? bytes : Buffer.from(bytes));
    if (this.#buffers === undefined || this.closed) return undefined;
    const next = this.#buffers.next(this.#readsIntoLent ? byteCount : 0);
    this.#readsIntoLent = true;
    if (next === this.#buffer) return undefined;
    this.#buffer = next;
    return next;
  }

  #deliverEarly(): void {
    this.call(() => {
      if (this.closed) return;
      this.#early?.deliver((bytes) => {
        this.events?.onData(bytes);
        return !this.closed;
      });
      if (this.#readEnded) this.#reportEnd();
    });
  }

  #readFailed(status: number): void {
    if (status !== EOF) {
      this.fail(systemError(status, "read"));
      return;
    }
    this.#readEnded = true;
    this.wrap.readStop();
    if (this.events !== undefined && !this.#hasEarly) this.#reportEnd();
  }

  #reportEnd(): void {
    if (this.endReported || this.closed) return;
    this.endReported = true;
    this.events?.onEnd();
    this.afterEnd();
  }
}
