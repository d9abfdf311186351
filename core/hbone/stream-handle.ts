/**
 * HOT PATH. A tunnel stream as a `Handle`, so that protocol engines run over tunnels as over sockets. FIN is END_STREAM,
 * RST is RST_STREAM. What comes while the reader pauses is kept and not credited: the stream's window bounds it.
 */
import type { Handle, HandleEvents, ReadBuffers, WriteResult } from "../handle/handle.ts";
import { callbackError, resetError } from "../handle/handle-errors.ts";
import { KeptBytes, type KeptLimit, PROCESS_KEPT_LIMIT } from "../handle/kept-bytes.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import { closedByPolicy } from "./hbone-errors.ts";
import type { DeliveryResult, HboneStream, HboneStreamEvents, StreamLoss } from "./hbone-stream.ts";
import { lossEnding } from "./relay-result.ts";

export interface StreamHandleParts {
  /** Not started; taken over. */
  readonly stream: HboneStream;
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly keptLimit?: KeptLimit;
}

export class StreamHandle implements Handle, HboneStreamEvents {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly copiesOnWrite = true;
  queuedBytes = 0;
  closed = false;

  readonly #stream: HboneStream;
  #events: HandleEvents | undefined;
  #buffers: ReadBuffers | undefined;
  #target: Uint8Array | undefined;
  readonly #limit: KeptLimit;
  readonly #kept: KeptBytes;
  #paused = false;
  #isDelivering = false;
  #isScheduled = false;
  /** END_STREAM has come; the reader may not know yet. */
  #remoteEnded = false;
  #endReported = false;
  #write: "open" | "ending" | "ended" = "open";
  #loss: StreamLoss | undefined;
  #error: Error | undefined;
  #closeReported = false;

  constructor(parts: StreamHandleParts) {
    this.local = parts.local;
    this.remote = parts.remote;
    this.#stream = parts.stream;
    this.#limit = parts.keptLimit ?? PROCESS_KEPT_LIMIT;
    this.#kept = new KeptBytes(this.#limit);
    parts.stream.start(this);
  }

  get isLeaving(): boolean {
    return this.#stream.isLeaving === true;
  }

  start(events: HandleEvents, buffers?: ReadBuffers): void {
    this.#events = events;
    this.#buffers = buffers;
    this.#target = buffers?.next(0);
    if (this.closed) process.nextTick(reportClose, this);
    else this.#schedule();
  }

  write(bytes: Uint8Array): WriteResult {
    if (this.closed || this.#write !== "open" || this.#loss !== undefined) return "closed";
    const result = this.#stream.write(bytes);
    if (result === "closed") return "closed";
    // Once stopped, all of it waits for the next `onTunnelWritable`, whatever became of this piece.
    if (result === "more" && this.queuedBytes === 0) return "sent";
    this.queuedBytes += bytes.length;
    return "queued";
  }

  writev(pieces: readonly Uint8Array[]): WriteResult {
    let result: WriteResult = "sent";
    for (let i = 0; i < pieces.length && result === "sent"; i++) {
      result = this.write(pieces[i] as Uint8Array);
      // Each piece written behind a queue would copy the queue.
      if (result === "queued" && i + 1 < pieces.length) this.write(Buffer.concat(pieces.slice(i + 1)));
    }
    return result;
  }

  shutdown(): void {
    if (this.closed || this.#write !== "open") return;
    this.#write = "ending";
    // Behind queued bytes it waits: so "both ended" means that everything was sent.
    if (this.queuedBytes === 0) this.#sendEnd();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#schedule();
  }

  reset(): void {
    if (!this.closed) this.#fail(resetError());
  }

  onTunnelOpen(): void {}

  onTunnelData(pieces: readonly Uint8Array[], byteCount: number): DeliveryResult {
    if (this.closed) return "consumed";
    let given = 0;
    for (const piece of pieces) {
      const taken = this.#isReading() ? this.#give(piece) : 0;
      given += taken;
      if (taken < piece.length) this.#keep(taken === 0 ? piece : piece.subarray(taken));
    }
    if (this.#isClosed()) this.#kept.clear();
    if (given === byteCount || this.#isClosed()) return "consumed";
    this.#stream.consumed(given);
    this.#schedule();
    return "copied";
  }

  onTunnelEnd(): void {
    this.#remoteEnded = true;
    if (this.#isReading()) this.#afterDelivery();
    else this.#schedule();
  }

  onTunnelWritable(): void {
    if (this.closed || this.queuedBytes === 0) return;
    this.queuedBytes = 0;
    if (this.#write === "ending") this.#sendEnd();
    try {
      this.#events?.onDrain();
    } catch (error) {
      this.#fail(callbackError(error));
    }
  }

  onTunnelLoss(loss: StreamLoss): void {
    if (this.closed) return;
    this.#loss = loss;
    // What the peer completed is still delivered, as a kernel would; the rest of what it broke off is not.
    const isCompleteAndKept = this.#remoteEnded && this.#kept.length > 0 && this.#events !== undefined;
    if (!isCompleteAndKept) this.#fail(lossEnding(loss).error);
  }

  /** Called by the scheduler only. */
  deliverKept(): void {
    this.#isScheduled = false;
    if (this.closed || this.#events === undefined) return;
    this.#isDelivering = true;
    while (this.#kept.length > 0 && !this.#paused && !this.closed) {
      const view = this.#kept.peek();
      const taken = this.#give(view);
      this.#kept.drop(taken);
      this.#stream.consumed(taken);
    }
    this.#isDelivering = false;
    this.#afterDelivery();
  }

  /** Called by the scheduler only. */
  reportClose(): void {
    if (this.#closeReported || this.#events === undefined) return;
    this.#closeReported = true;
    this.#buffers = undefined;
    this.#target = undefined;
    this.#events.onClose(this.#error);
  }

  #keep(bytes: Uint8Array): void {
    if (this.#limit.isReached) this.#fail(closedByPolicy("too much is kept for readers that pause"));
    else this.#kept.append(bytes);
  }

  /** A callback may have ended it. */
  #isClosed(): boolean {
    return this.closed;
  }

  #isReading(): boolean {
    return (
      !this.closed &&
      this.#events !== undefined &&
      !this.#paused &&
      !this.#isDelivering &&
      this.#kept.length === 0
    );
  }

  /** Returns how many bytes the reader took before it paused: views into the tunnel's memory are taken whole. */
  #give(bytes: Uint8Array): number {
    try {
      if (this.#target !== undefined) return this.#giveInto(this.#target, bytes);
      this.#events?.onData(bytes);
    } catch (error) {
      this.#fail(callbackError(error));
    }
    return bytes.length;
  }

  /** Views that must outlive `onData` lie in the reader's own memory. */
  #giveInto(first: Uint8Array, bytes: Uint8Array): number {
    let target = first;
    let at = 0;
    while (at < bytes.length && !this.#paused) {
      const size = Math.min(target.length, bytes.length - at);
      target.set(bytes.subarray(at, at + size));
      at += size;
      this.#events?.onData(size === target.length ? target : target.subarray(0, size));
      if (this.closed) return bytes.length;
      target = this.#buffers?.next(size) ?? target;
      this.#target = target;
    }
    return at;
  }

  /** Ends are reported behind the bytes. */
  #afterDelivery(): void {
    if (this.closed) {
      this.#kept.clear();
      return;
    }
    if (this.#paused || this.#kept.length > 0 || this.#endReported || !this.#remoteEnded) return;
    this.#endReported = true;
    try {
      this.#events?.onEnd();
    } catch (error) {
      this.#fail(callbackError(error));
    }
    if (this.#loss !== undefined && !this.closed) this.#fail(lossEnding(this.#loss).error);
    else this.#closeWhenBothEnded();
  }

  #schedule(): void {
    const isDue = this.#kept.length > 0 || (this.#remoteEnded && !this.#endReported);
    if (this.#isScheduled || !isDue || this.#events === undefined || this.#paused || this.closed) return;
    this.#isScheduled = true;
    process.nextTick(deliverKept, this);
  }

  #sendEnd(): void {
    this.#write = "ended";
    this.#stream.end();
    this.#closeWhenBothEnded();
  }

  #closeWhenBothEnded(): void {
    if (this.closed || !this.#endReported || this.#write !== "ended") return;
    this.closed = true;
    process.nextTick(reportClose, this);
  }

  #fail(error: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.#error = error;
    this.queuedBytes = 0;
    this.#stream.reset();
    if (!this.#isDelivering) this.#kept.clear();
    process.nextTick(reportClose, this);
  }
}

function deliverKept(handle: StreamHandle): void {
  handle.deliverKept();
}

function reportClose(handle: StreamHandle): void {
  handle.reportClose();
}
