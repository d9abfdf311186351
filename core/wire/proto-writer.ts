/**
 * Pure. HOT PATH (push). Writes protobuf back to front, so that every length is known when it is written: no size pass,
 * no intermediate buffers. Consequence for callers: fields are written in DESCENDING field order, the elements
 * of a repeated field last to first. Output is deterministic: equal calls give equal bytes, defaults are left out.
 */

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
/** Longest tag plus longest length or number. */
const HEADER_BYTES = 16;
/** Above this, the native UTF-8 writer is faster than a loop over characters. */
const SHORT_STRING = 48;

export class ProtoWriter {
  #bytes: Buffer;
  /** Index of the first byte written so far; everything from here to the end is output. */
  #start: number;

  constructor(initialBytes = 1024) {
    this.#bytes = Buffer.allocUnsafeSlow(initialBytes);
    this.#start = initialBytes;
  }

  /** Forgets everything written; keeps the memory. */
  reset(): void {
    this.#start = this.#bytes.length;
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.#bytes, this.#start);
  }

  /** Where an embedded message ends: take it before writing the message's (last) field, give it to `message`. */
  mark(): number {
    return this.#bytes.length - this.#start;
  }

  /** Completes the embedded message that began at `mark`. */
  message(field: number, mark: number): void {
    this.#reserve(HEADER_BYTES);
    this.#varint(this.mark() - mark);
    this.#tag(field, LENGTH_DELIMITED);
  }

  /** Leaves out the empty string. */
  string(field: number, value: string): void {
    if (value !== "") this.stringElement(field, value);
  }

  /** An element of a repeated field or a member of a oneof: written even when empty. */
  stringElement(field: number, value: string): void {
    const length = Buffer.byteLength(value);
    this.#reserve(length + HEADER_BYTES);
    this.#start -= length;
    if (length === value.length && length <= SHORT_STRING) this.#ascii(value);
    else this.#bytes.write(value, this.#start, length, "utf8");
    this.#varint(length);
    this.#tag(field, LENGTH_DELIMITED);
  }

  strings(field: number, values: readonly string[]): void {
    for (let i = values.length - 1; i >= 0; i--) this.stringElement(field, values[i] ?? "");
  }

  /** Written even when empty. */
  bytes(field: number, value: Uint8Array): void {
    this.#reserve(value.length + HEADER_BYTES);
    this.#start -= value.length;
    this.#bytes.set(value, this.#start);
    this.#varint(value.length);
    this.#tag(field, LENGTH_DELIMITED);
  }

  /** Bytes that are fields already, tag included. */
  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#start -= value.length;
    this.#bytes.set(value, this.#start);
  }

  /** uint32, enum or non-negative int64 up to 2^53-1. Leaves out zero. */
  uint(field: number, value: number): void {
    if (value !== 0) this.uintElement(field, value);
  }

  /** Written even when zero. */
  uintElement(field: number, value: number): void {
    this.#reserve(HEADER_BYTES);
    this.#varint(value);
    this.#tag(field, VARINT);
  }

  bool(field: number, value: boolean): void {
    if (value) this.uintElement(field, 1);
  }

  /** Repeated uint32 in packed form; nothing for an empty list. */
  packedUints(field: number, values: readonly number[]): void {
    if (values.length === 0) return;
    const mark = this.mark();
    for (let i = values.length - 1; i >= 0; i--) {
      this.#reserve(HEADER_BYTES);
      this.#varint(values[i] ?? 0);
    }
    this.message(field, mark);
  }

  /** Written even when zero. */
  doubleElement(field: number, value: number): void {
    this.#reserve(HEADER_BYTES);
    this.#start -= 8;
    this.#bytes.writeDoubleLE(value, this.#start);
    this.#tag(field, FIXED64);
  }

  #tag(field: number, wireType: number): void {
    this.#varint((field << 3) | wireType);
  }

  #ascii(value: string): void {
    for (let i = 0; i < value.length; i++) this.#bytes[this.#start + i] = value.charCodeAt(i);
  }

  #varint(value: number): void {
    let length = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
    this.#start -= length;
    let at = this.#start;
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[at++] = (rest % 0x80) | 0x80;
    this.#bytes[at] = rest;
  }

  #reserve(byteCount: number): void {
    if (this.#start >= byteCount) return;
    const used = this.#bytes.length - this.#start;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, used + byteCount));
    this.#bytes.copy(larger, larger.length - used, this.#start);
    this.#bytes = larger;
    this.#start = larger.length - used;
  }
}
