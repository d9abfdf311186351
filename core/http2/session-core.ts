/** HOT PATH. What the parts of a session share: streams, writer, windows, limits, and the operations on streams. */
import { ChurnTable } from "../base/churn-table.ts";
import type { Clock } from "../base/clock.ts";
import type { Handle } from "../handle/handle.ts";
import { ErrorCode } from "./error-codes.ts";
import { CONNECTION_WINDOW, MAX_STREAM_WINDOW, type ReceiveBudget, ReceiveWindow } from "./flow-control.ts";
import { FloodGuard } from "./flood-limits.ts";
import { FrameType } from "./frame-types.ts";
import { FrameWriter } from "./frame-writer.ts";
import { releasePin } from "./delivery.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import type { FieldToSend } from "./hpack/header-field.ts";
import { Http2Stream, type StreamEnd, type StreamHost } from "./http2-stream.ts";
import { SendQueue } from "./send-queue.ts";
import type { SessionEvents, SessionLimits, SessionOptions } from "./session-options.ts";
import { DEFAULT_SETTINGS, type Http2Settings } from "./settings.ts";

const CONNECTION_CREDIT_BYTES = CONNECTION_WINDOW / 4;
const REMEMBERED_RESETS = 1_000;

export interface CoreParts {
  readonly handle: Handle;
  readonly options: SessionOptions;
  readonly clock: Clock;
  readonly limits: SessionLimits;
  readonly budget: ReceiveBudget;
  readonly onWritten: () => void;
}

export class SessionCore implements StreamHost {
  readonly role: "client" | "server";
  readonly events: SessionEvents;
  readonly clock: Clock;
  readonly limits: SessionLimits;
  readonly writer: FrameWriter;
  readonly queue: SendQueue;
  readonly guard: FloodGuard;
  readonly streams: ChurnTable<Http2Stream> = new ChurnTable();
  /** Streams that were reset: frames that were under way are not the peer's fault. */
  readonly recentlyReset: Set<number> = new Set();
  readonly floor: number;
  readonly sendsEarly: boolean;
  readonly #budget: ReceiveBudget;
  readonly #encoder = new HpackEncoder();
  peerSettings: Http2Settings = DEFAULT_SETTINGS;
  /** Highest stream that the peer opened. */
  lastPeerStream = 0;
  /** False once our GOAWAY named the last stream. */
  acceptsStreams = true;
  /** Lowest id that we have not used yet. */
  nextStream: number;
  #connectionAvailable = CONNECTION_WINDOW;
  #connectionReceived = 0;
  /** Called when an owner found that the peer broke a rule. False: that was one too many, and the session has failed. */
  onOwnersBreach: () => boolean = () => true;
  /** Called when a stream is gone: the session may be finished. */
  onStreamGone: () => void = () => undefined;

  constructor(parts: CoreParts) {
    const { options, clock, limits, budget } = parts;
    this.role = options.role;
    this.events = options.events;
    this.clock = clock;
    this.limits = limits;
    this.#budget = budget;
    this.floor = Math.min(budget.chooseFloor(), limits.streamFloor ?? MAX_STREAM_WINDOW);
    this.sendsEarly = options.sendsEarly ?? false;
    this.nextStream = options.role === "client" ? 1 : 2;
    this.guard = new FloodGuard(clock.monotonicMs(), limits.flood);
    this.writer = new FrameWriter(parts.handle, {
      onWritten: parts.onWritten,
      gathers: options.gathers === true,
    });
    this.queue = new SendQueue({
      writer: this.writer,
      nowMs: () => clock.monotonicMs(),
      sendTrailers: (stream, trailers) => this.#writeHeaders(stream, trailers, true),
      onEndSent: (stream) => this.#onEndSent(stream),
    });
  }

  newStream(id: number): Http2Stream {
    const nowMs = this.clock.monotonicMs();
    const stream = new Http2Stream({
      id,
      host: this,
      receive: new ReceiveWindow(this.#budget, this.floor, nowMs),
      sendWindow: this.queue.peerInitialWindow,
    });
    this.streams.set(id, stream);
    return stream;
  }

  setPeerTable(bytes: number): void {
    this.#encoder.limitTable(bytes);
  }

  sendHeaders(stream: Http2Stream, fields: readonly FieldToSend[], endStream: boolean): void {
    stream.headSent = true;
    this.#writeHeaders(stream, fields, endStream);
    if (!endStream) return;
    stream.localEnded = true;
    this.#onEndSent(stream);
  }

  sendData(stream: Http2Stream, bytes: Uint8Array): "more" | "pause" {
    this.guard.onDataSent(bytes.length);
    return this.queue.write(stream, bytes);
  }

  sendEnd(stream: Http2Stream): void {
    this.queue.end(stream);
  }

  sendReset(stream: Http2Stream, code: ErrorCode): void {
    this.writer.number(FrameType.RST_STREAM, stream.id, code);
    this.forget(stream);
  }

  sendBreach(stream: Http2Stream, code: ErrorCode): void {
    if (this.onOwnersBreach()) this.sendReset(stream, code);
  }

  credit(stream: Http2Stream, byteCount: number): void {
    releasePin(stream);
    if (stream.closed || stream.remoteEnded || byteCount === 0) return;
    const nowMs = stream.receive.isCreditDue(byteCount) ? this.clock.monotonicMs() : 0;
    const increment = stream.receive.onConsumed(byteCount, nowMs);
    if (increment > 0) this.writer.number(FrameType.WINDOW_UPDATE, stream.id, increment);
  }

  /** The connection's window is credited on receipt: a stalled stream must not hold up the others. */
  onConnectionReceived(byteCount: number): boolean {
    this.#connectionAvailable -= byteCount;
    if (this.#connectionAvailable < 0) return false;
    this.#connectionReceived += byteCount;
    if (this.#connectionReceived >= CONNECTION_CREDIT_BYTES) {
      this.writer.number(FrameType.WINDOW_UPDATE, 0, this.#connectionReceived);
      this.#connectionAvailable += this.#connectionReceived;
      this.#connectionReceived = 0;
    }
    return true;
  }

  /** The peer broke a rule on one stream, or it cannot be served: RST_STREAM, and the owner is told. */
  failStream(stream: Http2Stream, code: ErrorCode): void {
    if (stream.closed) return;
    this.writer.number(FrameType.RST_STREAM, stream.id, code);
    this.endStream(stream, { kind: "reset", code });
  }

  /** The stream is over without END_STREAM both ways. */
  endStream(stream: Http2Stream, end: StreamEnd): void {
    if (stream.closed) return;
    this.forget(stream);
    stream.events?.onReset(end);
    releasePin(stream);
  }

  /** The peer's END_STREAM, after all data was delivered. */
  onRemoteEnd(stream: Http2Stream): void {
    if (stream.closed || stream.remoteEnded) return;
    stream.remoteEnding = true;
    stream.remoteEnded = true;
    stream.events?.onEnd();
    this.#endedOneWay(stream);
  }

  forget(stream: Http2Stream): void {
    if (stream.closed) return;
    this.#remove(stream);
    this.rememberReset(stream.id);
  }

  /** Bounded: a peer may be refused without end. */
  rememberReset(streamId: number): void {
    this.recentlyReset.add(streamId);
    if (this.recentlyReset.size <= REMEMBERED_RESETS) return;
    for (const oldest of this.recentlyReset) {
      this.recentlyReset.delete(oldest);
      return;
    }
  }

  #writeHeaders(stream: Http2Stream, fields: readonly FieldToSend[], endStream: boolean): void {
    const { maxFrameSize } = this.peerSettings;
    this.writer.headers(stream.id, this.#encoder.encode(fields), { endStream, maxFrameSize });
  }

  #onEndSent(stream: Http2Stream): void {
    this.guard.onAnswer();
    if (stream.refusesRest && !stream.remoteEnding) stream.reset(ErrorCode.NO_ERROR);
    else this.#endedOneWay(stream);
  }

  #endedOneWay(stream: Http2Stream): void {
    if (stream.localEnded && stream.remoteEnded && !stream.closed) this.#remove(stream);
  }

  #remove(stream: Http2Stream): void {
    stream.closed = true;
    stream.pending = undefined;
    stream.trailers = undefined;
    stream.receive.close();
    this.streams.delete(stream.id);
    this.onStreamGone();
  }
}
