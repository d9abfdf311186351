/**
 * HOT PATH. Finds the end of a head, or of a trailer section, one byte once, however it is cut into reads. Lines end with CRLF and nothing else;
 * control characters, lone CR and lone LF are refused where they stand. What a line says is read afterwards (`head-lines.ts`).
 */
import { type KeptLimit, PROCESS_KEPT_LIMIT } from "../handle/kept-bytes.ts";
import { MAX_FIELDS, MAX_HEAD_BYTES, MAX_TRAILER_BYTES, MAX_TRAILERS } from "./http1-limits.ts";

export type HeadKind = "request" | "response" | "trailers";

export type ScanState =
  | "more"
  /** `text` and `lineEnds` are there. */
  | "complete"
  /** A byte that no head has. */
  | "bad"
  | "line-too-long"
  | "too-large"
  | "no-room";

export class HeadScanner {
  /** The complete head; lines are `text[start..lineEnds[i])`, the next starts two bytes behind. */
  text = "";
  readonly lineEnds: number[] = [];
  state: ScanState = "more";
  reason = "";
  readonly #kind: HeadKind;
  readonly #limit: KeptLimit;
  readonly #maxBytes: number;
  readonly #maxLines: number;
  /** Bytes of earlier reads; a head that comes in one piece needs none. */
  #kept: Buffer | undefined;
  #keptLength = 0;
  /** Next byte to look at, and where the current line began, from the head's first byte. */
  #position = 0;
  #lineStart = 0;
  #blankLines = 0;

  constructor(kind: HeadKind, limit: KeptLimit = PROCESS_KEPT_LIMIT) {
    this.#kind = kind;
    this.#limit = limit;
    this.#maxBytes = kind === "trailers" ? MAX_TRAILER_BYTES : MAX_HEAD_BYTES;
    this.#maxLines = kind === "trailers" ? MAX_TRAILERS : MAX_FIELDS + 1;
  }

  /** Some bytes have come, the end has not. */
  get isPartial(): boolean {
    return this.state === "more" && this.#keptLength > 0;
  }

  /** For the next head, or because there is none: gives back what was kept. */
  reset(): void {
    this.#limit.add(-(this.#kept?.length ?? 0));
    this.text = "";
    this.lineEnds.length = 0;
    this.state = "more";
    this.reason = "";
    this.#kept = undefined;
    this.#keptLength = 0;
    this.#position = 0;
    this.#lineStart = 0;
    this.#blankLines = 0;
  }

  /** Takes `bytes[at..end)` up to the head's end at most and returns where it stopped. */
  scan(bytes: Uint8Array, at: number, end: number): number {
    if (this.#keptLength === 0) return this.#scanInPlace(bytes, at, end);
    const before = this.#keptLength;
    if (!this.#keep(bytes, at, end)) return end;
    this.#look(this.#kept as Buffer, 0, this.#keptLength);
    if (this.state === "more" && this.#keptLength === this.#maxBytes) this.#overflow();
    return this.state === "complete" ? at + this.#position - before : end;
  }

  #scanInPlace(bytes: Uint8Array, at: number, end: number): number {
    const limit = Math.min(end, at + this.#maxBytes);
    this.#look(bytes, at, limit);
    if (this.state === "complete") return at + this.#position;
    if (this.state === "more" && limit - at === this.#maxBytes) this.#overflow();
    if (this.state === "more") this.#keep(bytes, at, limit);
    return end;
  }

  /** `base`: where the head begins in `bytes`. */
  #look(bytes: Uint8Array, base: number, end: number): void {
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let p = base + this.#position;
    for (;;) {
      p = skipPlain(bytes, words, p, end);
      if (p === end) break;
      const code = bytes[p] as number;
      if (code !== CR) return this.#refuse(code === LF ? "line feed without carriage return" : CONTROL);
      if (p + 1 === end) break;
      if (bytes[p + 1] !== LF) return this.#refuse("carriage return without line feed");
      const line = p - base;
      p += 2;
      this.#position = p - base;
      if (line === this.#lineStart) {
        if (this.#emptyLine(bytes, base)) return;
      } else if (!this.#line(bytes, base, line)) return;
      this.#lineStart = this.#position;
    }
    this.#position = p - base;
    this.#checkFirst(bytes, base, end);
  }

  /** Returns whether the scan is over. RFC 9112 2.2: one empty line before a request is forgiven; two were seen in the wild. */
  #emptyLine(bytes: Uint8Array, base: number): boolean {
    if (this.lineEnds.length > 0 || this.#kind === "trailers") {
      this.text = latin1(bytes, base, base + this.#position);
      this.state = "complete";
      return true;
    }
    this.#blankLines++;
    if (this.#kind === "request" && this.#blankLines <= 2) return false;
    this.#refuse("empty line instead of a head");
    return true;
  }

  #line(bytes: Uint8Array, base: number, end: number): boolean {
    if (this.lineEnds.length === 0) {
      this.#checkFirst(bytes, base, base + end);
      if (this.state !== "more") return false;
    }
    if (this.lineEnds.length === this.#maxLines) {
      this.state = "too-large";
      this.reason = "too many fields";
      return false;
    }
    this.lineEnds.push(end);
    return true;
  }

  /** Whatever is not HTTP at all is told so at once: its line may never end. */
  #checkFirst(bytes: Uint8Array, base: number, end: number): void {
    const first = base + this.#lineStart;
    if (this.lineEnds.length > 0 || first >= end || bytes[first] === CR) return;
    if (this.#kind === "request") {
      const code = bytes[first] as number;
      if (code < 0x41 || code > 0x5a) this.#refuse("not a request line");
    } else if (this.#kind === "response" && !beginsAnswer(bytes, first, end)) {
      this.#refuse("not a status line of HTTP/1");
    }
  }

  /** False: there is no room. */
  #keep(bytes: Uint8Array, at: number, end: number): boolean {
    const size = Math.min(end - at, this.#maxBytes - this.#keptLength);
    const needed = this.#keptLength + size;
    if (this.#kept === undefined || this.#kept.length < needed) {
      if (this.#limit.isReached) {
        this.state = "no-room";
        this.reason = "too much is kept of what is not complete, or not read";
        return false;
      }
      this.#kept = this.#grown(Math.min(this.#maxBytes, Math.max(2 * needed, 1024)));
    }
    this.#kept.set(bytes.subarray(at, at + size), this.#keptLength);
    this.#keptLength = needed;
    return true;
  }

  #grown(size: number): Buffer {
    const grown = Buffer.allocUnsafeSlow(size);
    if (this.#kept !== undefined) grown.set(this.#kept.subarray(0, this.#keptLength));
    this.#limit.add(size - (this.#kept?.length ?? 0));
    return grown;
  }

  #overflow(): void {
    this.state = this.lineEnds.length === 0 && this.#kind === "request" ? "line-too-long" : "too-large";
    this.reason = this.state === "too-large" ? "head too large" : "request line too long";
  }

  #refuse(reason: string): void {
    this.state = "bad";
    this.reason = reason;
  }

  /** Where the first line begins in `text`. */
  get firstLine(): number {
    return 2 * Math.min(this.#blankLines, 2);
  }
}

/** As far as there are bytes. */
function beginsAnswer(bytes: Uint8Array, at: number, end: number): boolean {
  for (let i = 0; i < ANSWER.length && at + i < end; i++)
    if (bytes[at + i] !== ANSWER.charCodeAt(i)) return false;
  return true;
}

/** The next byte that is a control character other than tab, or `end`. Four bytes at a time: heads are long, and nearly all of it is plain. */
function skipPlain(bytes: Uint8Array, words: DataView, at: number, end: number): number {
  let p = at;
  for (; p + 4 <= end; p += 4) {
    const word = words.getInt32(p, true);
    const noDelete = word ^ 0x7f7f7f7f;
    const found = ((word - 0x20202020) & ~word) | ((noDelete - 0x01010101) & ~noDelete);
    if ((found & 0x80808080) !== 0) {
      const stop = skipBytes(bytes, p, p + 4);
      if (stop < p + 4) return stop;
    }
  }
  return skipBytes(bytes, p, end);
}

function skipBytes(bytes: Uint8Array, at: number, end: number): number {
  let p = at;
  while (p < end) {
    const code = bytes[p] as number;
    if ((code <= 31 && code !== 9) || code === 127) break;
    p++;
  }
  return p;
}

const CR = 13;
const LF = 10;
const ANSWER = "HTTP/1.";
const CONTROL = "control character in the head";

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.prototype.latin1Slice.call(bytes as Buffer, start, end);
}
