/**
 * HOT PATH. One stream of a session: its state, its windows, and what its owner may do with it. The session's parts
 * change it; owners use the methods only.
 */
import type { PinnableBuffer } from "../handle/read-ring.ts";
import { ErrorCode } from "./error-codes.ts";
import type { ReceiveWindow } from "./flow-control.ts";
import type { FieldToSend, HeaderField } from "./hpack/header-field.ts";

/**
 * What became of delivered bytes: "consumed" (gone; credit the sender now), "held" (memory still referenced,
 * `consumed` will be called) or "copied" (memory free, `consumed` will be called).
 */
export type DeliveryResult = "consumed" | "held" | "copied";

/** Why a stream ended other than by END_STREAM both ways. */
export type StreamEnd =
  | { readonly kind: "reset"; readonly code: number }
  /** The peer did nothing with it (GOAWAY below its id, REFUSED_STREAM): it may be tried elsewhere. */
  | { readonly kind: "refused" }
  | { readonly kind: "session-lost"; readonly error: Error };

export interface Http2StreamEvents {
  /** Response, informational response or trailers; well-formed by RFC 9113 8. */
  onHeaders(fields: readonly HeaderField[], endStream: boolean): void;
  /** Pieces in order. Views into read memory: keep them only by answering "held". */
  onData(pieces: readonly Uint8Array[], byteCount: number): DeliveryResult;
  /** END_STREAM, after all data. */
  onEnd(): void;
  /** After `write` answered "pause". */
  onWritable(): void;
  /** Last event, unless both directions have ended. Never caused by the owner's own `reset`. */
  onReset(end: StreamEnd): void;
}

/** What a stream asks of its session. */
export interface StreamHost {
  sendHeaders(stream: Http2Stream, fields: readonly FieldToSend[], endStream: boolean): void;
  sendData(stream: Http2Stream, bytes: Uint8Array): "more" | "pause";
  sendEnd(stream: Http2Stream): void;
  sendReset(stream: Http2Stream, code: ErrorCode): void;
  sendBreach(stream: Http2Stream, code: ErrorCode): void;
  credit(stream: Http2Stream, byteCount: number): void;
}

export type Blocked = "no" | "output" | "stream-window" | "connection-window";

export interface StreamParts {
  readonly id: number;
  readonly host: StreamHost;
  readonly receive: ReceiveWindow;
  readonly sendWindow: number;
}

export class Http2Stream {
  readonly id: number;
  readonly receive: ReceiveWindow;
  readonly #host: StreamHost;
  events: Http2StreamEvents | undefined;
  /** We have sent END_STREAM. */
  localEnded = false;
  /** The peer has sent END_STREAM. */
  remoteEnded = false;
  /** The peer's END_STREAM is behind what is being delivered. */
  remoteEnding = false;
  /** Ended in any way: no further events, no further frames. */
  closed = false;
  /** A final response (client) or the request (server) has come: what follows are trailers. */
  headReceived = false;
  informational = 0;
  /** Server: answered. */
  headSent = false;

  sendWindow: number;
  /** Octets of DATA. */
  sentBytes = 0;
  /** Accepted and not yet sent for want of window or room. */
  pending: Uint8Array | undefined;
  endWanted = false;
  /** Go with END_STREAM, behind everything written. */
  trailers: readonly FieldToSend[] | undefined;
  /** Once we have ended, nothing more is wanted of the peer. */
  refusesRest = false;
  blocked: Blocked = "no";
  /** Sent since the peer's last credit for this stream, and when that was; -Infinity: it has given none yet. */
  sentSinceCredit = 0;
  creditedMs: number = Number.NEGATIVE_INFINITY;

  /** Read memory that a "held" delivery references. */
  pinned: PinnableBuffer | undefined;

  constructor(parts: StreamParts) {
    this.id = parts.id;
    this.#host = parts.host;
    this.receive = parts.receive;
    this.sendWindow = parts.sendWindow;
  }

  sendHeaders(fields: readonly FieldToSend[], endStream = false): void {
    if (!this.closed && !this.localEnded) this.#host.sendHeaders(this, fields, endStream);
  }

  /** Copies what it cannot send. "pause": accepted, but wait for `onWritable`. */
  write(bytes: Uint8Array): "more" | "pause" | "closed" {
    if (this.closed || this.localEnded || this.endWanted) return "closed";
    return this.#host.sendData(this, bytes);
  }

  /** END_STREAM after everything written, with `trailers` if there are any. */
  end(trailers: readonly FieldToSend[] = NO_FIELDS): void {
    if (this.closed || this.localEnded || this.endWanted) return;
    if (trailers.length > 0) this.trailers = trailers;
    this.#host.sendEnd(this);
  }

  /**
   * Once our end is out, a peer that has not ended is told that the rest is not wanted: RST_STREAM(NO_ERROR), which takes
   * nothing back (RFC 9113 8.1).
   */
  refuseRest(): void {
    this.refusesRest = true;
    if (this.localEnded && !this.remoteEnding) this.reset(ErrorCode.NO_ERROR);
  }

  /** RST_STREAM; no event follows. Does nothing when the stream has ended. */
  reset(code: ErrorCode = ErrorCode.CANCEL): void {
    if (!this.closed) this.#host.sendReset(this, code);
  }

  /** RST_STREAM because the peer broke a rule that its owner knows of; counts as such. No event follows. */
  breach(code: ErrorCode): void {
    if (!this.closed) this.#host.sendBreach(this, code);
  }

  /** Bytes of deliveries that were not answered "consumed" are gone now. */
  consumed(byteCount: number): void {
    this.#host.credit(this, byteCount);
  }
}

const NO_FIELDS: readonly FieldToSend[] = [];
