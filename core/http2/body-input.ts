/**
 * HOT PATH. The body that one stream brings: kept while nobody reads it (uncredited, so that the stream's window bounds
 * it), counted against content-length, and its last octet withheld until END_STREAM: who counts octets takes a message
 * for complete when it has them all.
 */
import type { BodyEvents } from "../http/exchange.ts";
import type { HttpField } from "../http/message.ts";
import { KeptBytes } from "../handle/kept-bytes.ts";
import type { DeliveryResult, Http2Stream } from "./http2-stream.ts";

export interface BodyOwner {
  readonly stream: Http2Stream | undefined;
  /** The body is not what its head said, or its reader threw `cause`. No event follows. */
  onBodyFailure(reason: string, cause?: unknown): void;
}

export class BodyInput {
  readonly #owner: BodyOwner;
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

  constructor(owner: BodyOwner, announcedBytes: number | undefined) {
    this.#owner = owner;
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
      this.#give(view, open);
      kept.drop(open);
      this.#owner.stream?.consumed(open);
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
      if (taken < piece.length) this.#keep(taken === 0 ? piece : piece.subarray(taken));
      given += taken;
    }
    if (this.#isOver) this.#kept?.clear();
    return given;
  }

  #isReading(): boolean {
    const isFree = !this.#paused && !this.#isOver && !this.#isDelivering;
    return isFree && this.#events !== undefined && (this.#kept === undefined || this.#kept.length === 0);
  }

  /** Returns how many bytes were given. */
  #give(bytes: Uint8Array, byteCount: number): number {
    try {
      this.#events?.onBody(byteCount === bytes.length ? bytes : bytes.subarray(0, byteCount));
    } catch (error) {
      this.#fail("the proxy's own code failed", error);
    }
    return byteCount;
  }

  #keep(bytes: Uint8Array): void {
    this.#kept ??= new KeptBytes();
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
