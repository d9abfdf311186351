/**
 * HOT PATH. Bytes to frames, parsed in place: DATA payload is handed on as it lies, whatever the split of the input;
 * everything else is collected when it does not lie in one piece. Enforces what needs no knowledge of streams: sizes,
 * stream 0 or not, padding, header blocks in one piece (RFC 9113 4, 6). The first breach ends it.
 */
import { ErrorCode } from "./error-codes.ts";
import type { FloodGuard } from "./flood-limits.ts";
import { Flag, FRAME_HEADER_BYTES, FrameType, PREFACE } from "./frame-types.ts";
import { checkFrameHeader, type FrameHeader } from "./frame-rules.ts";

export interface FrameSink {
  /** A DATA frame begins; `flowBytes` counts against the windows, padding included. */
  onDataFrame(streamId: number, flowBytes: number): void;
  /** Payload of the current DATA frame: `bytes[start..end)`. Any number of calls. */
  onDataBytes(bytes: Uint8Array, start: number, end: number): void;
  onDataEnd(endStream: boolean): void;
  /** HEADERS with all its CONTINUATION frames. `block` is valid until the call returns. */
  onHeaderBlock(streamId: number, block: Uint8Array, endStream: boolean): void;
  /** Any other frame; `payload` is valid until the call returns and may be cut (GOAWAY's debug data). */
  onControlFrame(header: FrameHeader, payload: Uint8Array): void;
  /** Nothing follows. */
  onFrameError(code: ErrorCode, reason: string): void;
}

export interface FrameReaderOptions {
  readonly sink: FrameSink;
  readonly guard: FloodGuard;
  /** A server's reader wants the client's preface first. */
  readonly expectPreface: boolean;
  /** As announced to the peer. */
  readonly maxFrameSize: number;
}

/** Enough for every control frame but header blocks; the rest of a longer payload is skipped. */
const MAX_COLLECTED_CONTROL = 512;
const NOTHING = new Uint8Array(0);

type Mode = "data" | "collect" | "skip";

export class FrameReader {
  readonly #sink: FrameSink;
  readonly #guard: FloodGuard;
  readonly #maxFrameSize: number;
  readonly #header = { type: 0, flags: 0, streamId: 0, length: 0 };
  readonly #headerBytes = new Uint8Array(FRAME_HEADER_BYTES);
  #headerFilled = 0;
  #prefaceAt: number;
  #dead = false;
  #mode: Mode = "skip";
  /** Payload bytes still to come, padding included. */
  #left = 0;
  /** Padding at the end of `left`; -1 while the length octet is still to come. */
  #padding = 0;
  #collected: Uint8Array = NOTHING;
  #collectedLength = 0;
  /** Stream whose header block is not finished; 0 for none. */
  #blockStream = 0;
  #blockEndsStream = false;
  #block: Uint8Array[] = [];
  #blocksBegun = 0;
  #blocksEnded = 0;

  constructor(options: FrameReaderOptions) {
    this.#sink = options.sink;
    this.#guard = options.guard;
    this.#maxFrameSize = options.maxFrameSize;
    this.#prefaceAt = options.expectPreface ? 0 : PREFACE.length;
  }

  /** Number of the header block that has begun and is not complete; 0 for none. */
  get openBlock(): number {
    return this.#dead || this.#blocksBegun === this.#blocksEnded ? 0 : this.#blocksBegun;
  }

  /** Nothing is reported any more. */
  stop(): void {
    this.#dead = true;
  }

  push(bytes: Uint8Array): void {
    let at = this.#prefaceAt < PREFACE.length ? this.#readPreface(bytes) : 0;
    const end = bytes.length;
    while (at < end && !this.#dead) {
      if (this.#left > 0) {
        const take = Math.min(this.#left, end - at);
        this.#readPayload(bytes, at, take);
        at += take;
      } else if (this.#headerFilled === 0 && end - at >= FRAME_HEADER_BYTES) {
        this.#beginFrame(bytes, at);
        at += FRAME_HEADER_BYTES;
      } else {
        at = this.#collectHeader(bytes, at);
      }
    }
  }

  #readPreface(bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length && this.#prefaceAt < PREFACE.length) {
      if (bytes[at] !== PREFACE[this.#prefaceAt]) {
        this.#fail(ErrorCode.PROTOCOL_ERROR, "not the HTTP/2 preface");
        return at;
      }
      at++;
      this.#prefaceAt++;
    }
    return at;
  }

  #collectHeader(bytes: Uint8Array, at: number): number {
    const take = Math.min(FRAME_HEADER_BYTES - this.#headerFilled, bytes.length - at);
    this.#headerBytes.set(bytes.subarray(at, at + take), this.#headerFilled);
    this.#headerFilled += take;
    if (this.#headerFilled === FRAME_HEADER_BYTES) {
      this.#headerFilled = 0;
      this.#beginFrame(this.#headerBytes, 0);
    }
    return at + take;
  }

  #beginFrame(b: Uint8Array, at: number): void {
    const header = this.#header;
    header.length = (byte(b, at) << 16) | (byte(b, at + 1) << 8) | byte(b, at + 2);
    header.type = byte(b, at + 3);
    header.flags = byte(b, at + 4);
    header.streamId =
      ((byte(b, at + 5) & 0x7f) << 24) | (byte(b, at + 6) << 16) | (byte(b, at + 7) << 8) | byte(b, at + 8);
    this.#left = header.length;
    const breach = checkFrameHeader(header, this.#maxFrameSize, this.#blockStream);
    if (breach !== undefined) {
      this.#fail(breach.code, breach.reason);
      return;
    }
    this.#padding = this.#isPadded() ? -1 : 0;
    if (header.type === FrameType.DATA) {
      this.#mode = "data";
      this.#sink.onDataFrame(header.streamId, header.length);
    } else if (this.#countBlock()) {
      this.#collectedLength = 0;
      this.#mode = "collect";
    }
    if (this.#left === 0 && !this.#dead) this.#endFrame(NOTHING);
  }

  #isPadded(): boolean {
    const { type, flags } = this.#header;
    return (flags & Flag.PADDED) !== 0 && (type === FrameType.DATA || type === FrameType.HEADERS);
  }

  /** Bounds of header blocks, before a byte of them is kept. */
  #countBlock(): boolean {
    const { type, length } = this.#header;
    const isBlock = type === FrameType.HEADERS || type === FrameType.CONTINUATION;
    if (!isBlock) return true;
    if (type === FrameType.HEADERS) this.#blocksBegun++;
    const isWithin =
      type === FrameType.HEADERS ? this.#guard.onHeaders(length) : this.#guard.onContinuation(length);
    if (!isWithin) this.#fail(ErrorCode.ENHANCE_YOUR_CALM, "header block too long");
    return isWithin;
  }

  #readPayload(bytes: Uint8Array, at: number, take: number): void {
    if (this.#mode === "data") {
      this.#readData(bytes, at, take);
      return;
    }
    const isWhole = take === this.#header.length;
    this.#left -= take;
    if (isWhole) {
      this.#endFrame(bytes.subarray(at, at + take));
      return;
    }
    this.#collect(bytes, at, take);
    if (this.#left === 0) this.#endFrame(this.#collected.subarray(0, this.#collectedLength));
  }

  #collect(bytes: Uint8Array, at: number, take: number): void {
    const { type, length } = this.#header;
    const isBlock = type === FrameType.HEADERS || type === FrameType.CONTINUATION;
    const wanted = isBlock ? length : Math.min(length, MAX_COLLECTED_CONTROL);
    if (this.#collected.length < wanted) this.#collected = new Uint8Array(Math.max(wanted, 64));
    const kept = Math.min(take, wanted - this.#collectedLength);
    this.#collected.set(bytes.subarray(at, at + kept), this.#collectedLength);
    this.#collectedLength += kept;
  }

  #readData(bytes: Uint8Array, at: number, take: number): void {
    let start = at;
    if (this.#padding < 0) {
      this.#padding = byte(bytes, at);
      start++;
      if (this.#padding >= this.#header.length) {
        this.#fail(ErrorCode.PROTOCOL_ERROR, "padding as long as the frame");
        return;
      }
    }
    this.#left -= take;
    const dataEnd = at + take - Math.max(0, this.#padding - this.#left);
    if (dataEnd > start) this.#sink.onDataBytes(bytes, start, dataEnd);
    if (this.#left === 0 && !this.#dead) this.#sink.onDataEnd((this.#header.flags & Flag.END_STREAM) !== 0);
  }

  #endFrame(payload: Uint8Array): void {
    const { type, flags } = this.#header;
    if (type === FrameType.DATA) this.#sink.onDataEnd((flags & Flag.END_STREAM) !== 0);
    else if (type === FrameType.HEADERS) this.#endHeaders(payload);
    else if (type === FrameType.CONTINUATION) this.#addFragment(payload);
    else this.#sink.onControlFrame(this.#header, payload);
    if (this.#collected.length > MAX_COLLECTED_CONTROL) this.#collected = NOTHING;
  }

  #endHeaders(payload: Uint8Array): void {
    const { flags, streamId } = this.#header;
    const isPadded = (flags & Flag.PADDED) !== 0;
    const padding = isPadded ? byte(payload, 0) : 0;
    const start = (isPadded ? 1 : 0) + ((flags & Flag.PRIORITY) !== 0 ? 5 : 0);
    if (start + padding > payload.length) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "padding as long as the frame");
      return;
    }
    this.#blockStream = streamId;
    this.#blockEndsStream = (flags & Flag.END_STREAM) !== 0;
    this.#addFragment(payload.subarray(start, payload.length - padding));
  }

  #addFragment(fragment: Uint8Array): void {
    const isLast = (this.#header.flags & Flag.END_HEADERS) !== 0;
    if (!isLast) {
      this.#block.push(Buffer.from(fragment));
      return;
    }
    const block = this.#block.length === 0 ? fragment : Buffer.concat([...this.#block, fragment]);
    const streamId = this.#blockStream;
    this.#block = [];
    this.#blockStream = 0;
    this.#blocksEnded++;
    this.#sink.onHeaderBlock(streamId, block, this.#blockEndsStream);
  }

  #fail(code: ErrorCode, reason: string): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#sink.onFrameError(code, reason);
  }
}

function byte(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}
