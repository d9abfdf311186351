/**
 * HOT PATH. `Handle` on a libuv stream wrap, plain or TLS: writes and ends. Keeps the rules whose breach kills the
 * process: one write in flight (more is copied and gathered), one shutdown and only with an empty queue, requests never
 * reused in their own completion.
 */
import type { SocketAddress } from "../net/socket-address.ts";
import type { Handle, HandleEvents, ReadBuffers, WriteResult } from "./handle.ts";
import { resetError, systemError } from "./handle-errors.ts";
import { RawReads } from "./raw-reads.ts";
import {
  giveBackRequest,
  newShutdown,
  type OwnedRequest,
  type RequestOwner,
  takeRequest,
} from "./raw-requests.ts";
import { closedWrap, type RawStreamParts, type RawTerminator, type WrapOwner } from "./raw-wrap.ts";

export class RawStream extends RawReads implements Handle, RequestOwner, WrapOwner {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly copiesOnWrite: boolean;
  queuedBytes = 0;

  readonly #terminator: RawTerminator;
  #write: "open" | "ending" | "shutting" | "ended" = "open";
  #inFlight = false;
  #backlog: Uint8Array[] = [];
  #resetPending = false;
  #error: Error | undefined;
  #closeReported = false;
  #wrapClosed = false;

  constructor(parts: RawStreamParts) {
    super(parts);
    this.#terminator = parts.terminator;
    this.local = parts.local;
    this.remote = parts.remote;
    this.copiesOnWrite = parts.copiesOnWrite;
  }

  /** Another object ends and reads this connection from now on (TLS on top): this one is dead. */
  handOver(): void {
    this.closed = true;
  }

  start(events: HandleEvents, buffers?: ReadBuffers): void {
    this.events = events;
    if (this.#wrapClosed || this.closed) process.nextTick(() => this.#reportClose());
    else this.startReading(buffers);
  }

  write(bytes: Uint8Array): WriteResult {
    if (this.closed || this.#write !== "open") return "closed";
    if (this.#inFlight) return this.#enqueue(bytes);
    if (bytes.length === 0) return "sent";
    const request = takeRequest(this.bindings, this);
    return this.#written(request, this.wrap.writeBuffer(request, bytes), bytes.length, bytes);
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

  reset(): void {
    if (!this.closed) this.fail(resetError());
  }

  /** Ends abnormally. Also for the owner of a TLS socket, whose errors do not come through the wrap. */
  fail(error: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.#error = error;
    if (this.#write !== "shutting") this.#terminator.reset(this.wrap, closedWrap);
    else if (this.#terminator.resetWaitsForShutdown) this.#resetPending = true;
    else this.#terminator.close(this.wrap, closedWrap);
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
    this.call(() => this.events?.onDrain());
  }

  #enqueue(bytes: Uint8Array): WriteResult {
    this.#backlog.push(Buffer.from(bytes));
    this.queuedBytes += bytes.length;
    return "queued";
  }

  #gather(pieces: readonly Uint8Array[]): WriteResult {
    let total = 0;
    for (const piece of pieces) total += piece.length;
    const request = takeRequest(this.bindings, this);
    return this.#written(request, this.wrap.writev(request, pieces, true), total, pieces);
  }

  #written(request: OwnedRequest, status: number, byteCount: number, held: unknown): WriteResult {
    if (status !== 0) {
      giveBackRequest(request);
      this.fail(systemError(status, "write"));
      return "closed";
    }
    if (this.bindings.state[this.bindings.writeWasAsync] === 0) {
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
    const request = newShutdown(this.bindings, this);
    const status = this.wrap.shutdown(request);
    if (status === 1) this.onFinSent(0);
    else if (status < 0) this.onFinSent(status);
  }

  /** Called by the request only: the shutdown is done. */
  onFinSent(status: number): void {
    this.#write = "ended";
    if (this.#resetPending) {
      this.#resetPending = false;
      this.#terminator.reset(this.wrap, closedWrap);
      return;
    }
    if (this.closed) return;
    if (status < 0) this.fail(systemError(status, "shutdown"));
    else this.#closeWhenBothEnded();
  }

  protected afterEnd(): void {
    this.#closeWhenBothEnded();
  }

  #closeWhenBothEnded(): void {
    if (this.closed || !this.endReported || this.#write !== "ended") return;
    this.closed = true;
    this.#terminator.close(this.wrap, closedWrap);
  }

  /** Called by the wrap only: it is closed. */
  onWrapClosed(): void {
    this.#wrapClosed = true;
    this.#reportClose();
  }

  #reportClose(): void {
    if (this.#closeReported || this.events === undefined || !this.#wrapClosed) return;
    this.#closeReported = true;
    this.forgetBuffers();
    this.events.onClose(this.#error);
  }
}
