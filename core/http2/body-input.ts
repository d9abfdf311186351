/**
 * HOT PATH. The body that one stream brings: kept while nobody reads it (uncredited, so that the stream's window bounds
 * it), counted against content-length, and its last octet withheld until END_STREAM: who counts octets takes a message
 * for complete when it has them all.
 */
import type { BodyEvents } from "../http/exchange.ts";
import type { HttpField } from "../http/message.ts";
import { KeptBytes, type KeptLimit } from "../handle/kept-bytes.ts";
import type { DeliveryResult, Http2Stream } from "./http2-stream.ts";

export interface BodyOwner {
  readonly stream: Http2Stream | undefined;
  /** The body is not what its head said, or its reader threw `cause`. No event follows. */
  onBodyFailure(reason: string, cause?: unknown): void;
  /** The process keeps too much for readers that pause. No event follows. */
  onBodyOverflow(): void;
}

/** Given out at once: what a reader cannot write on is kept here, where it is counted, and not by the writer. */
const SLICE_BYTES = 32 * 1024;

export class BodyInput {
  readonly #owner: BodyOwner;
  readonly #limit: KeptLimit;
  #events: BodyEvents | undefined;
  #kept: KeptBytes | undefined;
  /** Octets that content-length announced and that have not come; undefined: it announced none. */
  #left: number | undefined;
  #withheld = 0;
  #paused = false;
  #isDelivering = false;
  #isScheduled = false;
  #hasEnded = false;
  #isOver = false;
  trailers: readonly HttpField[] = NO_TRAILERS;
  receivedBytes = 0;

  constructor(owner: BodyOwner, announcedBytes: number | undefined, limit: KeptLimit) {
    this.#owner = owner;
    this.#limit = limit;
    this.#left = announcedBytes;
  }

  /** All has come and was given out, or nothing more will be. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** END_STREAM has come. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** More could come, and is not stopped by us. */
  get isAwaited(): boolean {
    return !this.#hasEnded && !this.#isOver && !this.#paused;
  }

  start(events: BodyEvents): void {
    this.#events = events;
    this.#schedule();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#schedule();
  }

  /** Nothing more is given out. */
  cancel(): void {
    this.#isOver = true;
    if (!this.#isDelivering) this.#kept?.clear();
  }

  /** `isLast`: END_STREAM is right behind. */
  take(pieces: readonly Uint8Array[], byteCount: number, isLast: boolean): DeliveryResult {
    if (this.#isOver || byteCount === 0 || !this.#count(byteCount, isLast)) return "consumed";
    const given = this.#hand(pieces);
    if (this.#isOver || given === byteCount) return "consumed";
    this.#owner.stream?.consumed(given);
    this.#schedule();
    return "copied";
  }

  /** END_STREAM has come. */
  end(): void {
    if (this.#isOver) return;
    if (this.#left !== undefined && this.#left > 0) {
      this.#fail("body shorter than content-length");
      return;
    }
    this.#hasEnded = true;
    this.#withheld = 0;
    if (this.#events !== undefined && !this.#isScheduled && !this.#isDelivering) this.pump();
  }

  /** Called by the scheduler and by `end` only. */
  pump(): void {
    this.#isScheduled = false;
    const kept = this.#kept;
    this.#isDelivering = true;
    while (kept !== undefined && kept.length > this.#withheld && !this.#paused && !this.#isOver) {
      const view = kept.peek();
      const open = Math.min(view.length, kept.length - this.#withheld);
      const taken = this.#give(view, open);
      kept.drop(taken);
      this.#owner.stream?.consumed(taken);
    }
    this.#isDelivering = false;
    if (this.#isOver) kept?.clear();
    else this.#endWhenGiven();
  }

  /** False: it was too much, or the end came too early. */
  #count(byteCount: number, isLast: boolean): boolean {
    this.receivedBytes += byteCount;
    if (this.#left === undefined) return true;
    this.#left -= byteCount;
    if (this.#left < 0) this.#fail("body longer than content-length");
    else if (this.#left > 0 && isLast) this.#fail("body shorter than content-length");
    else this.#withheld = this.#left === 0 && !isLast ? 1 : 0;
    return !this.#isOver;
  }

  /** Returns how many bytes the reader took; the others are kept. */
  #hand(pieces: readonly Uint8Array[]): number {
    const last = pieces.length - 1;
    let given = 0;
    for (let i = 0; i <= last && !this.#isOver; i++) {
      const piece = pieces[i] as Uint8Array;
      const open = i === last ? piece.length - this.#withheld : piece.length;
      const taken = open > 0 && this.#isReading() ? this.#give(piece, open) : 0;
      if (taken < piece.length && !this.#isOver) this.#keep(taken === 0 ? piece : piece.subarray(taken));
      given += taken;
    }
    if (this.#isOver) this.#kept?.clear();
    return given;
  }

  #isReading(): boolean {
    const isFree = !this.#paused && !this.#isOver && !this.#isDelivering;
    return isFree && this.#events !== undefined && (this.#kept === undefined || this.#kept.length === 0);
  }

  /** Gives what it may of the first `byteCount` bytes; returns how many that were. */
  #give(bytes: Uint8Array, byteCount: number): number {
    let at = 0;
    try {
      while (at < byteCount && !this.#paused && !this.#isOver) {
        const end = Math.min(byteCount, at + SLICE_BYTES);
        this.#events?.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
        at = end;
      }
    } catch (error) {
      this.#fail("the proxy's own code failed", error);
    }
    return at;
  }

  #keep(bytes: Uint8Array): void {
    if (this.#limit.isReached) {
      this.cancel();
      this.#owner.onBodyOverflow();
      return;
    }
    this.#kept ??= new KeptBytes(this.#limit);
    this.#kept.append(bytes);
  }

  #endWhenGiven(): void {
    if (!this.#hasEnded || this.#paused || this.#events === undefined) return;
    if (this.#kept !== undefined && this.#kept.length > 0) return;
    this.#isOver = true;
    try {
      this.#events.onEnd(this.trailers);
    } catch (error) {
      this.#owner.onBodyFailure("the proxy's own code failed", error);
    }
  }

  #fail(reason: string, cause?: unknown): void {
    this.cancel();
    this.#owner.onBodyFailure(reason, cause);
  }

  /** Never from within the reader's own call. */
  #schedule(): void {
    const isDue = this.#hasEnded || (this.#kept !== undefined && this.#kept.length > this.#withheld);
    if (!isDue || this.#isScheduled || this.#isOver || this.#paused || this.#events === undefined) return;
    this.#isScheduled = true;
    process.nextTick(pump, this);
  }
}

function pump(input: BodyInput): void {
  if (!input.isOver) input.pump();
}

const NO_TRAILERS: readonly HttpField[] = [];
