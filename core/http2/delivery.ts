/**
 * HOT PATH. Payload of one stream, gathered across DATA headers so that the application sees few large writes instead
 * of one per frame. Nothing is copied: the pieces point into read memory, and memory that stays referenced is pinned.
 */
import { pin, pinnedRingCount, type ReadRing, unpin } from "../handle/read-ring.ts";
import type { Http2Stream } from "./http2-stream.ts";

const GATHER_BYTES = 256 * 1024;
const MAX_PIECES = 64;
/** Large read buffers that stalled applications may pin in the whole process. */
const MAX_PINNED_RINGS = 32;

export class Delivery {
  readonly #ring: () => ReadRing;
  readonly #credit: (stream: Http2Stream, byteCount: number) => void;
  readonly #flushLater: () => void;
  #scheduled = false;
  #stream: Http2Stream | undefined;
  #buffers: ArrayBufferLike[] = [];
  #starts: number[] = [];
  #ends: number[] = [];
  #total = 0;

  constructor(ring: () => ReadRing, credit: (stream: Http2Stream, byteCount: number) => void) {
    this.#ring = ring;
    this.#credit = credit;
    this.#flushLater = () => {
      this.#scheduled = false;
      this.flush();
    };
  }

  get isEmpty(): boolean {
    return this.#total === 0;
  }

  add(stream: Http2Stream, bytes: Uint8Array, range: { readonly start: number; readonly end: number }): void {
    if (this.#stream !== stream) {
      this.flush();
      this.#stream = stream;
    }
    const start = bytes.byteOffset + range.start;
    const end = bytes.byteOffset + range.end;
    const last = this.#ends.length - 1;
    if (last >= 0 && this.#ends[last] === start && this.#buffers[last] === bytes.buffer) {
      this.#ends[last] = end;
    } else {
      this.#buffers.push(bytes.buffer);
      this.#starts.push(start);
      this.#ends.push(end);
    }
    this.#total += end - start;
    if (this.#total >= GATHER_BYTES || last >= MAX_PIECES - 2) this.flush();
  }

  /** After a read: the burst may go on, but nothing waits beyond this turn of the loop. */
  flushSoon(): void {
    if (this.#total === 0 || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#flushLater);
  }

  flush(): void {
    const stream = this.#stream;
    const byteCount = this.#total;
    if (stream === undefined || byteCount === 0) return;
    let pieces = this.#take();
    if (stream.closed || stream.events === undefined) return;
    const mayPin = pinnedRingCount() < MAX_PINNED_RINGS;
    if (!mayPin) pieces = [Buffer.concat(pieces)];
    const result = stream.events.onData(pieces, byteCount);
    if (result === "consumed") this.#credit(stream, byteCount);
    else if (result === "held" && mayPin && !stream.closed) this.#pin(stream);
  }

  #take(): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (let i = 0; i < this.#ends.length; i++) {
      const start = this.#starts[i] as number;
      pieces.push(new Uint8Array(this.#buffers[i] as ArrayBuffer, start, (this.#ends[i] as number) - start));
    }
    this.#buffers.length = 0;
    this.#starts.length = 0;
    this.#ends.length = 0;
    this.#total = 0;
    this.#stream = undefined;
    return pieces;
  }

  #pin(stream: Http2Stream): void {
    const current = this.#ring().current;
    if (stream.pinned === current) return;
    releasePin(stream);
    stream.pinned = current;
    pin(current);
  }
}

/** The application's write that referenced read memory is done, or the stream is over. */
export function releasePin(stream: Http2Stream): void {
  if (stream.pinned === undefined) return;
  unpin(stream.pinned);
  stream.pinned = undefined;
}
