/**
 * HOT PATH. What may be sent when: windows of the peer, the bound of the output queue, and fairness. A stream that finds
 * the queue full waits in line and is resumed in turn, so that one bulk transfer cannot hold up the others.
 */
import type { FrameWriter } from "./frame-writer.ts";
import type { FieldToSend } from "./hpack/header-field.ts";
import type { Http2Stream } from "./http2-stream.ts";
import { OutputTurns } from "./output-turns.ts";
import { MAX_WINDOW_SIZE } from "./settings.ts";

/** No write goes beyond this, however large. Room for one read of each of several streams: what does not fit is copied. */
const OUTPUT_MAX = 2 * 1024 * 1024 - 64 * 1024;
/** Room that a stream without fresh credit leaves to others, see `#cap`. */
const CAP_SLACK = 64 * 1024;
const STALE_CREDIT_MS = 1_000;
/** Of the connection's window: while more than this is left nobody is capped. */
const UNCAPPED_SHARE = 0.75;
const CONGESTED_BELOW = 1024 * 1024;
/** A connection's window up to this says nothing about congestion, and there is nothing to share out. */
const SMALL_CONNECTION = 2 * CONGESTED_BELOW;

export interface SendQueueOptions {
  readonly writer: FrameWriter;
  readonly nowMs: () => number;
  /** Writes `trailers` with END_STREAM. */
  readonly sendTrailers: (stream: Http2Stream, trailers: readonly FieldToSend[]) => void;
  readonly onEndSent: (stream: Http2Stream) => void;
}

export class SendQueue {
  readonly #writer: FrameWriter;
  readonly #nowMs: () => number;
  readonly #sendTrailers: SendQueueOptions["sendTrailers"];
  readonly #onEndSent: (stream: Http2Stream) => void;
  readonly #turns: OutputTurns;
  #waitingForConnection: Http2Stream[] = [];
  #connectionWindow = 65_535;
  #largestConnectionWindow = 65_535;
  #congestedSinceMs: number | undefined;
  peerInitialWindow = 65_535;
  peerMaxFrameSize = 16_384;

  constructor(options: SendQueueOptions) {
    this.#writer = options.writer;
    this.#nowMs = options.nowMs;
    this.#sendTrailers = options.sendTrailers;
    this.#onEndSent = options.onEndSent;
    this.#turns = new OutputTurns(options.writer, (stream) => this.#resume(stream));
  }

  get connectionWindow(): number {
    return this.#connectionWindow;
  }

  /** Milliseconds for which the connection's window has been nearly used up, though it is a large one. */
  congestedMs(): number {
    return this.#congestedSinceMs === undefined ? 0 : this.#nowMs() - this.#congestedSinceMs;
  }

  write(stream: Http2Stream, bytes: Uint8Array): "more" | "pause" {
    if (stream.pending !== undefined || stream.blocked !== "no") {
      stream.pending = Buffer.concat([stream.pending ?? new Uint8Array(0), bytes]);
      if (stream.blocked === "no") this.#block(stream);
      return "pause";
    }
    const sent = this.#send(stream, bytes);
    if (sent < bytes.length) {
      stream.pending = Buffer.from(bytes.subarray(sent));
      this.#block(stream);
      return "pause";
    }
    if (this.#turns.mayGoOn(bytes.length)) return "more";
    this.#turns.wait(stream);
    return "pause";
  }

  end(stream: Http2Stream): void {
    if (stream.pending !== undefined) stream.endWanted = true;
    else this.#sendEnd(stream);
  }

  /** WINDOW_UPDATE of a stream. False: overflow. */
  onStreamCredit(stream: Http2Stream, increment: number): boolean {
    stream.sendWindow += increment;
    if (stream.sendWindow > MAX_WINDOW_SIZE) return false;
    stream.sentSinceCredit = 0;
    stream.creditedMs = this.#nowMs();
    if (stream.blocked === "stream-window") this.#unblock(stream);
    this.#turns.pump();
    return true;
  }

  /** WINDOW_UPDATE of the connection. False: overflow. */
  onConnectionCredit(increment: number): boolean {
    this.#connectionWindow += increment;
    if (this.#connectionWindow > MAX_WINDOW_SIZE) return false;
    this.#largestConnectionWindow = Math.max(this.#largestConnectionWindow, this.#connectionWindow);
    this.#noteCongestion();
    const waiting = this.#waitingForConnection;
    this.#waitingForConnection = [];
    for (const stream of waiting) this.#unblock(stream);
    this.#turns.pump();
    return true;
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE changed. False: overflow of a stream. */
  onInitialWindow(size: number, streams: Iterable<Http2Stream>): boolean {
    const change = size - this.peerInitialWindow;
    this.peerInitialWindow = size;
    for (const stream of streams) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_WINDOW_SIZE) return false;
      if (change > 0 && stream.blocked === "stream-window") this.#unblock(stream);
    }
    this.#turns.pump();
    return true;
  }

  /** The writer has room again. */
  onWritten(): void {
    this.#turns.onWritten();
  }

  /** What it has left to send goes first. True: its owner may write again. */
  #resume(stream: Http2Stream): boolean {
    stream.blocked = "no";
    const { pending } = stream;
    if (pending !== undefined) {
      const sent = this.#send(stream, pending);
      stream.pending = sent < pending.length ? pending.subarray(sent) : undefined;
      if (stream.pending !== undefined) {
        this.#block(stream);
        return false;
      }
    }
    if (stream.endWanted) {
      this.#sendEnd(stream);
      return false;
    }
    stream.events?.onWritable();
    return true;
  }

  #sendEnd(stream: Http2Stream): void {
    stream.endWanted = false;
    stream.localEnded = true;
    if (stream.trailers === undefined) this.#writer.endStream(stream.id);
    else this.#sendTrailers(stream, stream.trailers);
    this.#onEndSent(stream);
  }

  /** Sends what the windows and the queue allow; returns how many bytes that were. */
  #send(stream: Http2Stream, bytes: Uint8Array): number {
    const room = OUTPUT_MAX - this.#writer.pendingBytes;
    const allowed = Math.min(stream.sendWindow, this.#connectionWindow, room, this.#cap(stream));
    const end = Math.min(bytes.length, allowed);
    if (end <= 0) return 0;
    this.#writer.data(stream.id, bytes, { start: 0, end, maxFrameSize: this.peerMaxFrameSize });
    stream.sendWindow -= end;
    stream.sentSinceCredit += end;
    stream.sentBytes += end;
    this.#connectionWindow -= end;
    if (this.#connectionWindow < CONGESTED_BELOW) this.#noteCongestion();
    return end;
  }

  /**
   * A peer may credit the connection only when its application consumes: stalled streams would use up the window of
   * all. Once a quarter of that window is gone, a stream without credit, ever or for a second, keeps to half of its own
   * window and a bit (peers credit at half). So six streams that stand still leave room for a seventh.
   */
  #cap(stream: Http2Stream): number {
    const largest = this.#largestConnectionWindow;
    if (largest <= SMALL_CONNECTION || this.#connectionWindow > largest * UNCAPPED_SHARE)
      return MAX_WINDOW_SIZE;
    const cap = this.peerInitialWindow / 2 + CAP_SLACK - stream.sentSinceCredit;
    if (cap > CAP_SLACK || this.#nowMs() - stream.creditedMs < STALE_CREDIT_MS) return MAX_WINDOW_SIZE;
    return Math.max(0, cap);
  }

  #block(stream: Http2Stream): void {
    if (stream.sendWindow <= 0) stream.blocked = "stream-window";
    else if (this.#writer.pendingBytes >= OUTPUT_MAX) {
      this.#turns.wait(stream);
    } else {
      // The connection's window, or the cap, which a credit of the connection ends as well.
      stream.blocked = this.#connectionWindow <= 0 ? "connection-window" : "stream-window";
      this.#waitingForConnection.push(stream);
    }
  }

  #unblock(stream: Http2Stream): void {
    if (stream.closed || stream.blocked === "no" || stream.blocked === "output") return;
    this.#turns.wait(stream);
  }

  #noteCongestion(): void {
    const isScarce =
      this.#connectionWindow < CONGESTED_BELOW && this.#largestConnectionWindow > SMALL_CONNECTION;
    if (!isScarce) this.#congestedSinceMs = undefined;
    else this.#congestedSinceMs ??= this.#nowMs();
  }
}
