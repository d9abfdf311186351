/**
 * HOT PATH. Frames into the output of one connection. One write is in flight at a time; what comes meanwhile
 * accumulates: low delay when idle, large writes under load, no timer. DATA is copied straight behind its header, or
 * sent from where it was read. A writer that gathers also waits for the end of the loop's turn: answers to many streams,
 * and head, body and end of one, go out in one write.
 */
import { BufferPool } from "../handle/buffer-pool.ts";
import type { Handle } from "../handle/handle.ts";
import { withHeadroom } from "../handle/shared-read-buffers.ts";
import { Flag, FRAME_HEADER_BYTES, FrameType, PREFACE } from "./frame-types.ts";
import { writeUint32 } from "./uint32.ts";

const KIB = 1024;
const SIZES = [4 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB, 2048 * KIB, 4096 * KIB] as const;
const POOLS: readonly BufferPool[] = SIZES.map(
  (size) => new BufferPool(size, Math.min(64, (8 * 1024 * KIB) / size)),
);
const FLAGS_OFFSET = 4;
/** Small flushes in a row after which a large buffer goes back. */
const SMALL_FLUSHES = 32;

/** As much is sent at once, gathering or not. */
const GATHER_BYTES = 32 * KIB;

/** Copying less than this costs less than a write of its own. */
const IN_PLACE_BYTES = 16 * KIB;

export interface FrameWriterEvents {
  /** The write in flight is done and nothing has accumulated, or less than before: there is room again. */
  onWritten(): void;
  /** For many small messages; a stream of bulk, or one that somebody waits on, is better sent at once. */
  readonly gathers?: boolean;
}

export class FrameWriter {
  readonly #handle: Handle;
  readonly #events: FrameWriterEvents;
  #buffer: Buffer;
  #sizeClass = 0;
  /** The other half where the handle keeps what was written; lent on first use. */
  #inFlight: { readonly buffer: Buffer; readonly sizeClass: number } | undefined;
  #length = 0;
  #inFlightBytes = 0;
  #held = false;
  #closed = false;
  #smallFlushes = 0;
  /** Control bytes (all but DATA) in the present buffer. */
  #controlBytes = 0;
  #finish: (() => void) | undefined;
  readonly #gathers: boolean;
  #isScheduled = false;
  readonly #flushTurn = (): void => {
    this.#isScheduled = false;
    if (!this.#held) this.#flush();
  };
  /** Flags of the last DATA or HEADERS frame, which can still take END_STREAM, and its stream. */
  #lastFlagsAt = 0;
  #lastStream = 0;

  constructor(handle: Handle, events: FrameWriterEvents) {
    this.#handle = handle;
    this.#events = events;
    this.#gathers = events.gathers === true;
    this.#buffer = (POOLS[0] as BufferPool).lend();
  }

  /** Bytes not yet accepted by the kernel. */
  get queuedBytes(): number {
    return this.#length + this.#inFlightBytes;
  }

  get isWriting(): boolean {
    return this.#inFlightBytes > 0;
  }

  get pendingBytes(): number {
    return this.#length;
  }

  get pendingControlBytes(): number {
    return this.#controlBytes;
  }

  preface(): void {
    if (this.#closed) return;
    this.#reserve(PREFACE.length);
    this.#buffer.set(PREFACE, this.#length);
    this.#length += PREFACE.length;
  }

  /** SETTINGS, PING, GOAWAY and the like. */
  control(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    if (this.#closed) return;
    this.#reserve(FRAME_HEADER_BYTES + payload.length);
    this.#frameHeader(payload.length, type, flags, streamId);
    this.#buffer.set(payload, this.#length);
    this.#length += payload.length;
    this.#controlBytes += FRAME_HEADER_BYTES + payload.length;
    this.#kick();
  }

  /** RST_STREAM and WINDOW_UPDATE. */
  number(type: number, streamId: number, value: number): void {
    if (this.#closed) return;
    this.#reserve(FRAME_HEADER_BYTES + 4);
    this.#frameHeader(4, type, 0, streamId);
    this.#uint32(value);
    this.#controlBytes += FRAME_HEADER_BYTES + 4;
    this.#kick();
  }

  /** A header block, cut into HEADERS and CONTINUATION of at most `maxFrameSize`. */
  headers(streamId: number, block: Uint8Array, options: { endStream: boolean; maxFrameSize: number }): void {
    if (this.#closed) return;
    const { endStream, maxFrameSize } = options;
    let at = 0;
    do {
      const end = Math.min(block.length, at + maxFrameSize);
      const isFirst = at === 0;
      const flags =
        (isFirst && endStream ? Flag.END_STREAM : 0) | (end === block.length ? Flag.END_HEADERS : 0);
      this.#reserve(FRAME_HEADER_BYTES + end - at);
      if (isFirst) this.#noteLast(end === block.length ? streamId : 0);
      this.#frameHeader(end - at, isFirst ? FrameType.HEADERS : FrameType.CONTINUATION, flags, streamId);
      this.#buffer.set(block.subarray(at, end), this.#length);
      this.#length += end - at;
      at = end;
    } while (at < block.length);
    this.#kick();
  }

  /** `bytes[start..end)` as DATA of at most `maxFrameSize` each. */
  data(streamId: number, bytes: Uint8Array, range: DataRange): void {
    if (this.#closed || this.#sendInPlace(streamId, bytes, range)) return;
    const { start, end, maxFrameSize } = range;
    for (let at = start; at < end;) {
      const stop = Math.min(end, at + maxFrameSize);
      this.#reserve(FRAME_HEADER_BYTES + stop - at);
      this.#noteLast(streamId);
      this.#frameHeader(stop - at, FrameType.DATA, 0, streamId);
      this.#buffer.set(at === 0 && stop === bytes.length ? bytes : bytes.subarray(at, stop), this.#length);
      this.#length += stop - at;
      at = stop;
    }
    this.#kick();
  }

  endStream(streamId: number): void {
    if (this.#closed) return;
    if (this.#gathers && this.#lastStream === streamId) {
      this.#buffer[this.#lastFlagsAt] = (this.#buffer[this.#lastFlagsAt] as number) | Flag.END_STREAM;
      this.#lastStream = 0;
      return;
    }
    this.#reserve(FRAME_HEADER_BYTES);
    this.#frameHeader(0, FrameType.DATA, Flag.END_STREAM, streamId);
    this.#kick();
  }

  /** Between `hold` and `release` nothing is sent: the answers to one read go out together. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#kick();
  }

  /** The handle has handed everything to the kernel. */
  onDrain(): void {
    this.#inFlightBytes = 0;
    this.#giveBackInFlight();
    if (!this.#held) this.#flush();
    if (this.#length === 0 && this.#finish !== undefined) {
      this.#finish();
      this.#finish = undefined;
    }
    this.#events.onWritten();
  }

  /** `then` runs once everything written so far has been given to the handle. */
  finish(then: () => void): void {
    this.#held = false;
    this.#flush();
    if (this.#length === 0 || this.#closed) then();
    else this.#finish = then;
  }

  /** Nothing is sent any more; call when the handle is closed. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#giveBackInFlight();
    (POOLS[this.#sizeClass] as BufferPool).giveBack(this.#buffer);
    this.#length = 0;
    this.#inFlightBytes = 0;
  }

  /** Large DATA that finds an idle connection: the header goes in front of it, and nothing is copied. */
  #sendInPlace(streamId: number, bytes: Uint8Array, { start, end, maxFrameSize }: DataRange): boolean {
    const isIdle = this.#length === 0 && this.#inFlightBytes === 0 && !this.#held;
    const isOneFrame = start === 0 && end === bytes.length && end <= maxFrameSize;
    if (!isIdle || !isOneFrame || end < IN_PLACE_BYTES || !this.#handle.copiesOnWrite) return false;
    const frame = withHeadroom(bytes);
    if (frame === undefined) return false;
    this.#frameHeader(end, FrameType.DATA, 0, streamId);
    frame.set(this.#buffer.subarray(0, FRAME_HEADER_BYTES));
    this.#length = 0;
    if (this.#handle.write(frame) === "queued") this.#inFlightBytes = frame.length;
    return true;
  }

  #kick(): void {
    if (this.#held || this.#inFlightBytes > 0) return;
    if (!this.#gathers || this.#length >= GATHER_BYTES) this.#flush();
    else if (this.#length > 0 && !this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(this.#flushTurn);
    }
  }

  #noteLast(streamId: number): void {
    this.#lastStream = streamId;
    this.#lastFlagsAt = this.#length + FLAGS_OFFSET;
  }

  #flush(): void {
    if (this.#length === 0 || this.#inFlightBytes > 0 || this.#closed) return;
    const length = this.#length;
    const result = this.#handle.write(this.#buffer.subarray(0, length));
    this.#length = 0;
    this.#lastStream = 0;
    this.#controlBytes = 0;
    if (result === "queued") {
      this.#inFlightBytes = length;
      if (!this.#handle.copiesOnWrite) this.#swap();
    }
    this.#rest(length);
  }

  /** The handle holds the present buffer: accumulate in another. */
  #swap(): void {
    this.#inFlight = { buffer: this.#buffer, sizeClass: this.#sizeClass };
    this.#buffer = (POOLS[this.#sizeClass] as BufferPool).lend();
  }

  #giveBackInFlight(): void {
    if (this.#inFlight === undefined) return;
    (POOLS[this.#inFlight.sizeClass] as BufferPool).giveBack(this.#inFlight.buffer);
    this.#inFlight = undefined;
  }

  /** After many small flushes the large buffer is of no use here. */
  #rest(flushed: number): void {
    if (this.#sizeClass === 0) return;
    this.#smallFlushes = flushed > SIZES[0] ? 0 : this.#smallFlushes + 1;
    if (this.#smallFlushes < SMALL_FLUSHES) return;
    (POOLS[this.#sizeClass] as BufferPool).giveBack(this.#buffer);
    this.#sizeClass = 0;
    this.#smallFlushes = 0;
    this.#buffer = (POOLS[0] as BufferPool).lend();
  }

  #reserve(bytes: number): void {
    const wanted = this.#length + bytes;
    if (wanted <= this.#buffer.length) return;
    const sizeClass = SIZES.findIndex((size) => size >= wanted);
    if (sizeClass < 0) throw new Error(`invariant broken: ${wanted} bytes of output on one connection`);
    const larger = (POOLS[sizeClass] as BufferPool).lend();
    this.#buffer.copy(larger, 0, 0, this.#length);
    (POOLS[this.#sizeClass] as BufferPool).giveBack(this.#buffer);
    this.#buffer = larger;
    this.#sizeClass = sizeClass;
  }

  #frameHeader(length: number, type: number, flags: number, streamId: number): void {
    const b = this.#buffer;
    const at = this.#length;
    b[at] = length >>> 16;
    b[at + 1] = length >>> 8;
    b[at + 2] = length;
    b[at + 3] = type;
    b[at + 4] = flags;
    this.#length = at + 5;
    this.#uint32(streamId);
  }

  #uint32(value: number): void {
    this.#length = writeUint32(this.#buffer, this.#length, value);
  }
}

export interface DataRange {
  readonly start: number;
  readonly end: number;
  readonly maxFrameSize: number;
}
