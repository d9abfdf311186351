/** HOT PATH. Header blocks: decoded whatever becomes of them, so that both ends' tables stay equal; then judged. */
import type { Delivery } from "./delivery.ts";
import { ErrorCode } from "./error-codes.ts";
import { FrameType } from "./frame-types.ts";
import { checkTrailers, readRequestHead, readResponseHead } from "./header-rules.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import type { HeaderField } from "./hpack/header-field.ts";
import type { Http2Stream } from "./http2-stream.ts";
import type { SessionCore } from "./session-core.ts";
import type { SessionControl } from "./session-input.ts";

/** Informational responses before the final one; more is a flood. */
const MAX_INFORMATIONAL = 8;

export class HeadersInput {
  readonly #core: SessionCore;
  readonly #control: SessionControl;
  readonly #delivery: Delivery;
  readonly #decoder: HpackDecoder;

  constructor(core: SessionCore, control: SessionControl, delivery: Delivery) {
    this.#core = core;
    this.#control = control;
    this.#delivery = delivery;
    this.#decoder = new HpackDecoder({ maxListBytes: core.limits.maxHeaderListBytes });
  }

  onBlock(streamId: number, block: Uint8Array, endStream: boolean): void {
    const decoded = this.#decoder.decode(block);
    if (decoded.kind === "malformed") {
      this.#control.fail(ErrorCode.COMPRESSION_ERROR, decoded.reason);
      return;
    }
    const fields = decoded.kind === "headers" ? decoded.fields : undefined;
    const stream = this.#core.streams.get(streamId);
    if (stream !== undefined) this.#onKnown(stream, fields, endStream);
    else if (!this.#core.recentlyReset.has(streamId)) this.#onNew(streamId, fields, endStream);
  }

  #onNew(streamId: number, fields: readonly HeaderField[] | undefined, endStream: boolean): void {
    const core = this.#core;
    const isNext = core.role === "server" && (streamId & 1) === 1 && streamId > core.lastPeerStream;
    if (!isNext) {
      this.#control.fail(ErrorCode.PROTOCOL_ERROR, "HEADERS on a stream that cannot be opened");
      return;
    }
    core.lastPeerStream = streamId;
    if (core.streams.size >= core.limits.maxStreams || !core.acceptsStreams) {
      this.#refuse(streamId, ErrorCode.REFUSED_STREAM);
      return;
    }
    if (fields === undefined) {
      this.#onTooLarge(streamId, endStream);
      return;
    }
    const head = readRequestHead(fields);
    if (head.kind === "malformed" || head.kind === "extended-connect") {
      const reason = head.kind === "malformed" ? head.reason : "extended CONNECT, which was not enabled";
      this.#refuse(streamId, ErrorCode.PROTOCOL_ERROR, reason);
      return;
    }
    const stream = core.newStream(streamId);
    stream.headReceived = true;
    stream.remoteEnding = endStream;
    core.events.onRequest?.(stream, head, fields);
    if (endStream) core.onRemoteEnd(stream);
  }

  /** Counts as a reset, answered or not: decoding it has cost more than its octets. */
  #onTooLarge(streamId: number, endStream: boolean): void {
    const { events } = this.#core;
    if (events.onTooLarge === undefined) {
      this.#refuse(streamId, ErrorCode.ENHANCE_YOUR_CALM);
      return;
    }
    if (!this.#countReset()) return;
    const stream = this.#core.newStream(streamId);
    stream.headReceived = true;
    stream.remoteEnding = endStream;
    events.onTooLarge(stream);
    if (endStream) this.#core.onRemoteEnd(stream);
  }

  #onKnown(stream: Http2Stream, fields: readonly HeaderField[] | undefined, endStream: boolean): void {
    if (fields === undefined) {
      this.#fail(stream, ErrorCode.ENHANCE_YOUR_CALM);
      return;
    }
    if (stream.remoteEnded) {
      this.#fail(stream, ErrorCode.STREAM_CLOSED);
      return;
    }
    const isValid = stream.headReceived
      ? isTrailers(fields, endStream)
      : this.#isResponse(stream, fields, endStream);
    if (!isValid) {
      this.#fail(stream, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    stream.remoteEnding = endStream;
    this.#delivery.flush();
    stream.events?.onHeaders(fields, endStream);
    if (endStream) this.#core.onRemoteEnd(stream);
  }

  /** Notes a final response. An informational one must not end the stream, nor come too often. */
  #isResponse(stream: Http2Stream, fields: readonly HeaderField[], endStream: boolean): boolean {
    const head = this.#core.role === "client" ? readResponseHead(fields) : undefined;
    if (head?.kind !== "response") return false;
    if (head.status >= 200) {
      stream.headReceived = true;
      return true;
    }
    stream.informational++;
    return !endStream && stream.informational <= MAX_INFORMATIONAL;
  }

  #refuse(streamId: number, code: ErrorCode, reason?: string): void {
    if (!this.#countReset()) return;
    this.#core.rememberReset(streamId);
    this.#core.writer.number(FrameType.RST_STREAM, streamId, code);
    if (code !== ErrorCode.REFUSED_STREAM) this.#core.events.onBreach?.(code, reason);
  }

  #fail(stream: Http2Stream, code: ErrorCode): void {
    if (!this.#countReset()) return;
    this.#core.failStream(stream, code);
    this.#core.events.onBreach?.(code);
  }

  #countReset(): boolean {
    if (this.#core.guard.onReset(this.#core.clock.monotonicMs())) return true;
    this.#control.fail(ErrorCode.ENHANCE_YOUR_CALM, "too many streams were reset");
    return false;
  }
}

function isTrailers(fields: readonly HeaderField[], endStream: boolean): boolean {
  return endStream && checkTrailers(fields).kind === "trailers";
}
