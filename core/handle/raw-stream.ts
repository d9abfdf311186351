/**
 * HOT PATH. `Handle` on a libuv stream wrap, plain or TLS. Keeps the rules whose breach kills the process: one write
 * in flight (more is copied and gathered), one shutdown and only with an empty queue, requests never reused in their
 * own completion, read memory referenced until the wrap is closed, and nothing thrown into C++.
 */
import type { SocketAddress } from "../net/socket-address.ts";
import type { Handle, HandleEvents, ReadBuffers, WriteResult } from "./handle.ts";
import { callbackError, resetError, systemError } from "./handle-errors.ts";
import { sharedReadBuffer } from "./shared-read-buffers.ts";
import type { RawBindings, StreamWrap } from "./raw-bindings.ts";
import {
  giveBackRequest,
  newShutdown,
  type OwnedRequest,
  type RequestOwner,
  takeRequest,
} from "./raw-requests.ts";

const EOF = -4095;
/** For every handle without buffers of its own. */
const scratch = sharedReadBuffer;

const OWNER = Symbol("raw stream");

interface OwnedWrap extends StreamWrap {
  [OWNER]?: RawStream | undefined;
}

/** Called with the closed wrap as `this`. */
export type WrapClosed = (this: StreamWrap) => void;

/** How the connection under the wrap is ended; `done` is called once the wrap is closed. */
export interface RawTerminator {
  close(wrap: StreamWrap, done: WrapClosed): void;
  reset(wrap: StreamWrap, done: WrapClosed): void;
  /** A plain socket cannot be reset while its shutdown is under way (EINVAL, and it leaks): wait for it. */
  readonly resetWaitsForShutdown: boolean;
}

export interface RawStreamParts {
  readonly bindings: RawBindings;
  readonly wrap: StreamWrap;
  readonly terminator: RawTerminator;
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly copiesOnWrite: boolean;
}

export class RawStream implements Handle, RequestOwner {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly copiesOnWrite: boolean;
  queuedBytes = 0;
  closed = false;

  readonly #bindings: RawBindings;
  readonly #wrap: OwnedWrap;
  readonly #terminator: RawTerminator;
  #events: HandleEvents | undefined;
  #buffers: ReadBuffers | undefined;
  #buffer: Uint8Array = scratch;
  /** An adopted wrap reads into the shared buffer until its first read after `start`. */
  #readsIntoLent = false;
  /** What arrived before `start`, copied; empty for plain sockets, which do not read before. */
  #early: Uint8Array[] = [];
  #reading = false;
  #readEnded = false;
  #endReported = false;
  #write: "open" | "ending" | "shutting" | "ended" = "open";
  #inFlight = false;
  #backlog: Uint8Array[] = [];
  #resetPending = false;
  #error: Error | undefined;
  #closeReported = false;
  #wrapClosed = false;

  constructor(parts: RawStreamParts) {
    this.#bindings = parts.bindings;
    this.#wrap = parts.wrap;
    this.#terminator = parts.terminator;
    this.local = parts.local;
    this.remote = parts.remote;
    this.copiesOnWrite = parts.copiesOnWrite;
    this.#wrap[OWNER] = this;
  }

  /** Takes over a wrap that is already reading: bytes are kept until `start`. */
  adopt(): void {
    this.#wrap.onread = onRead;
    this.#wrap.useUserBuffer(this.#buffer);
    this.#wrap.readStart();
    this.#reading = true;
  }

  /** Another object ends and reads this connection from now on (TLS on top): this one is dead. */
  handOver(): void {
    this.closed = true;
  }

  start(events: HandleEvents, buffers?: ReadBuffers): void {
    this.#events = events;
    this.#buffers = buffers;
    if (this.#wrapClosed || this.closed) {
      process.nextTick(() => this.#reportClose());
      return;
    }
    if (this.#wrap.onread !== onRead) {
      this.#buffer = buffers?.next(0) ?? scratch;
      this.#readsIntoLent = buffers !== undefined;
      this.#wrap.onread = onRead;
      this.#wrap.useUserBuffer(this.#buffer);
      this.#begin();
    } else if (this.#early.length > 0 || this.#readEnded) {
      process.nextTick(() => this.#deliverEarly());
    }
  }

  write(bytes: Uint8Array): WriteResult {
    if (this.closed || this.#write !== "open") return "closed";
    if (this.#inFlight) return this.#enqueue(bytes);
    if (bytes.length === 0) return "sent";
    const request = takeRequest(this.#bindings, this);
    return this.#written(request, this.#wrap.writeBuffer(request, bytes), bytes.length, bytes);
  }

  writev(pieces: readonly Uint8Array[]): WriteResult {
    const first = pieces[0];
    if (first === undefined) return "sent";
    if (pieces.length === 1) return this.write(first);
    if (this.closed || this.#write !== "open") return "closed";
    if (this.#inFlight) {
      for (const piece of pieces) this.#enqueue(piece);
      return "queued";
    }
    return this.#gather(pieces);
  }

  shutdown(): void {
    if (this.closed || this.#write !== "open") return;
    this.#write = "ending";
    if (!this.#inFlight) this.#sendFin();
  }

  pause(): void {
    if (!this.#reading || this.closed || this.#readEnded) return;
    this.#reading = false;
    this.#wrap.readStop();
  }

  resume(): void {
    if (!this.closed && !this.#readEnded) this.#begin();
  }

  reset(): void {
    if (!this.closed) this.fail(resetError());
  }

  /** Ends abnormally. Also for the owner of a TLS socket, whose errors do not come through the wrap. */
  fail(error: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.#error = error;
    if (this.#write !== "shutting") this.#terminator.reset(this.#wrap, onWrapClosed);
    else if (this.#terminator.resetWaitsForShutdown) this.#resetPending = true;
    else this.#terminator.close(this.#wrap, onWrapClosed);
  }

  /** Called by the wrap only: a read finished. Returns the next buffer, or undefined to keep the present one. */
  onRead(): Uint8Array | undefined {
    const result = this.#bindings.state[this.#bindings.readResult] ?? 0;
    if (this.closed || result === 0) return undefined;
    try {
      if (result > 0) return this.#deliver(result);
      this.#readFailed(result);
    } catch (error) {
      this.fail(callbackError(error));
    }
    return undefined;
  }

  /** Called by the request only: the write in flight is done. */
  onWritten(status: number, byteCount: number): void {
    this.#inFlight = false;
    this.queuedBytes -= byteCount;
    if (this.closed) return;
    if (status < 0) {
      this.fail(systemError(status, "write"));
      return;
    }
    if (this.#backlog.length > 0) {
      const backlog = this.#backlog;
      this.#backlog = [];
      this.queuedBytes = 0;
      this.#gather(backlog);
    }
    if (this.#inFlight || this.closed) return;
    if (this.#write === "ending") this.#sendFin();
    this.#call(() => this.#events?.onDrain());
  }

  #begin(): void {
    if (this.#reading) return;
    this.#reading = true;
    const status = this.#wrap.readStart();
    if (status < 0) this.fail(systemError(status, "read"));
  }

  #deliver(byteCount: number): Uint8Array | undefined {
    const bytes = byteCount === this.#buffer.length ? this.#buffer : this.#buffer.subarray(0, byteCount);
    if (this.#events === undefined || this.#early.length > 0) {
      this.#early.push(Buffer.from(bytes));
      return undefined;
    }
    const isLent = this.#buffers === undefined || this.#readsIntoLent;
    this.#events.onData(isLent ? bytes : Buffer.from(bytes));
    if (this.#buffers === undefined || this.closed) return undefined;
    const next = this.#buffers.next(this.#readsIntoLent ? byteCount : 0);
    this.#readsIntoLent = true;
    if (next === this.#buffer) return undefined;
    this.#buffer = next;
    return next;
  }

  #deliverEarly(): void {
    this.#call(() => {
      while (this.#early.length > 0 && !this.closed) this.#events?.onData(this.#early.shift() as Uint8Array);
      if (this.#readEnded) this.#reportEnd();
    });
  }

  #readFailed(status: number): void {
    if (status !== EOF) {
      this.fail(systemError(status, "read"));
      return;
    }
    this.#readEnded = true;
    this.#wrap.readStop();
    if (this.#events !== undefined && this.#early.length === 0) this.#reportEnd();
  }

  #reportEnd(): void {
    if (this.#endReported || this.closed) return;
    this.#endReported = true;
    this.#events?.onEnd();
    this.#closeWhenBothEnded();
  }

  #enqueue(bytes: Uint8Array): WriteResult {
    this.#backlog.push(Buffer.from(bytes));
    this.queuedBytes += bytes.length;
    return "queued";
  }

  #gather(pieces: readonly Uint8Array[]): WriteResult {
    let total = 0;
    for (const piece of pieces) total += piece.length;
    const request = takeRequest(this.#bindings, this);
    return this.#written(request, this.#wrap.writev(request, pieces, true), total, pieces);
  }

  #written(request: OwnedRequest, status: number, byteCount: number, held: unknown): WriteResult {
    if (status !== 0) {
      giveBackRequest(request);
      this.fail(systemError(status, "write"));
      return "closed";
    }
    if (this.#bindings.state[this.#bindings.writeWasAsync] === 0) {
      giveBackRequest(request);
      return "sent";
    }
    request.held = held;
    this.#inFlight = true;
    this.queuedBytes += byteCount;
    request.byteCount = byteCount;
    return "queued";
  }

  #sendFin(): void {
    this.#write = "shutting";
    const request = newShutdown(this.#bindings, this);
    const status = this.#wrap.shutdown(request);
    if (status === 1) this.onFinSent(0);
    else if (status < 0) this.onFinSent(status);
  }

  /** Called by the request only: the shutdown is done. */
  onFinSent(status: number): void {
    this.#write = "ended";
    if (this.#resetPending) {
      this.#resetPending = false;
      this.#terminator.reset(this.#wrap, onWrapClosed);
      return;
    }
    if (this.closed) return;
    if (status < 0) this.fail(systemError(status, "shutdown"));
    else this.#closeWhenBothEnded();
  }

  #closeWhenBothEnded(): void {
    if (this.closed || !this.#endReported || this.#write !== "ended") return;
    this.closed = true;
    this.#terminator.close(this.#wrap, onWrapClosed);
  }

  /** Called by the wrap only: it is closed. */
  onWrapClosed(): void {
    this.#wrapClosed = true;
    this.#reportClose();
  }

  #reportClose(): void {
    if (this.#closeReported || this.#events === undefined || !this.#wrapClosed) return;
    this.#closeReported = true;
    this.#buffers = undefined;
    this.#events.onClose(this.#error);
  }

  #call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.fail(callbackError(error));
    }
  }
}

function onRead(this: OwnedWrap): Uint8Array | undefined {
  return this[OWNER]?.onRead();
}

/** Lets go of everything, see `raw-requests.ts`. */
function onWrapClosed(this: OwnedWrap): void {
  const owner = this[OWNER];
  this[OWNER] = undefined;
  owner?.onWrapClosed();
}
