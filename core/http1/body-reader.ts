/**
 * HOT PATH. Counts the octets of one body by its framing and says where it ends; strict about every byte of the chunked coding. Pull style: each
 * `read` yields at most one span of data, so that a reader can pause between two.
 */
import type { KeptLimit } from "../handle/kept-bytes.ts";
import type { BodyFraming, HttpField } from "../http/message.ts";
import { readFields } from "./head-lines.ts";
import { HeadScanner } from "./head-scanner.ts";

type Mode = "length" | "until-close" | "size" | "size-lf" | "data" | "data-cr" | "data-lf" | "trailers";

export class BodyReader {
  done = true;
  /** Why the body is refused. */
  failure: string | undefined;
  /** Fields behind a chunked body, not yet judged. */
  trailers: readonly HttpField[] = NO_FIELDS;
  /** The span of data that the last `read` found. */
  dataStart = 0;
  dataEnd = 0;
  /** Of a body by length: what is missing; of a chunk likewise. */
  remaining = 0;
  #mode: Mode = "length";
  #digits = 0;
  #trailerScanner: HeadScanner | undefined;
  readonly #limit: KeptLimit | undefined;

  /** Of what is kept of trailers. */
  constructor(limit?: KeptLimit) {
    this.#limit = limit;
  }

  start(framing: BodyFraming): void {
    this.failure = undefined;
    this.trailers = NO_FIELDS;
    this.remaining = framing.kind === "length" ? framing.bytes : 0;
    this.done = framing.kind === "none" || (framing.kind === "length" && framing.bytes === 0);
    this.#digits = 0;
    this.#trailerScanner?.reset();
    this.#mode = modeOf(framing);
  }

  /** Nothing more comes. */
  stop(): void {
    this.#trailerScanner?.reset();
  }

  /** True for a body that ends with its connection. */
  get endsWithConnection(): boolean {
    return this.#mode === "until-close";
  }

  /** Looks at `bytes[at..end)`, one span of data at most, and returns where it stopped. */
  read(bytes: Uint8Array, at: number, end: number): number {
    this.dataStart = at;
    this.dataEnd = at;
    let p = at;
    while (p < end && !this.done && this.failure === undefined) {
      if (this.#mode === "data" || this.#mode === "length" || this.#mode === "until-close")
        return this.#data(p, end);
      p = this.#mode === "trailers" ? this.#readTrailers(bytes, p, end) : this.#mark(bytes[p] as number, p);
    }
    return p;
  }

  #data(at: number, end: number): number {
    const size = this.#mode === "until-close" ? end - at : Math.min(this.remaining, end - at);
    this.dataStart = at;
    this.dataEnd = at + size;
    if (this.#mode === "until-close") return at + size;
    this.remaining -= size;
    if (this.remaining === 0) {
      if (this.#mode === "length") this.done = true;
      else this.#mode = "data-cr";
    }
    return at + size;
  }

  /** One byte between the data. */
  #mark(code: number, at: number): number {
    const mode = this.#mode;
    if (mode === "size") this.#sizeByte(code);
    else if (mode === "size-lf" && code === LF) this.#afterSize();
    else if (mode === "data-cr" && code === CR) this.#mode = "data-lf";
    else if (mode === "data-lf" && code === LF) this.#nextChunk();
    else this.failure = mode === "size-lf" ? BAD_SIZE : "chunk does not end where its size says";
    return at + 1;
  }

  #sizeByte(code: number): void {
    const digit = HEX[code] as number;
    if (digit >= 0) {
      this.remaining = this.remaining * 16 + digit;
      if (++this.#digits > 16 || this.remaining > Number.MAX_SAFE_INTEGER) this.failure = BAD_SIZE;
    } else if (code === CR && this.#digits > 0) this.#mode = "size-lf";
    else this.failure = code === SEMICOLON ? "chunk extension" : BAD_SIZE;
  }

  #afterSize(): void {
    this.#mode = this.remaining === 0 ? "trailers" : "data";
  }

  #nextChunk(): void {
    this.#mode = "size";
    this.#digits = 0;
    this.remaining = 0;
  }

  #readTrailers(bytes: Uint8Array, at: number, end: number): number {
    const scanner = (this.#trailerScanner ??= new HeadScanner("trailers", this.#limit));
    const stop = scanner.scan(bytes, at, end);
    if (scanner.state === "more") return stop;
    if (scanner.state !== "complete") {
      this.failure = scanner.state === "too-large" ? "trailers too large" : scanner.reason;
      return stop;
    }
    const fields =
      scanner.lineEnds.length === 0 ? NO_FIELDS : readFields(scanner.text, scanner.lineEnds, 0, 0);
    if (typeof fields === "string") this.failure = fields;
    else {
      this.trailers = fields;
      this.done = true;
    }
    return stop;
  }
}

function modeOf(framing: BodyFraming): Mode {
  switch (framing.kind) {
    case "marked":
      return "size";
    case "until-close":
    case "tunnel":
      return "until-close";
    case "none":
    case "length":
      return "length";
  }
}

const NO_FIELDS: readonly HttpField[] = [];
const CR = 13;
const LF = 10;
const SEMICOLON = 0x3b;
const BAD_SIZE = "chunk size is not a number";
const HEX = hexDigits();

function hexDigits(): Int8Array {
  const digits = new Int8Array(256).fill(-1);
  for (let value = 0; value < 16; value++) {
    const text = value.toString(16);
    digits[text.charCodeAt(0)] = value;
    digits[text.toUpperCase().charCodeAt(0)] = value;
  }
  return digits;
}
