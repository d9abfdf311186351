/**
 * Pure. Reads protobuf from untrusted bytes: every length, depth and count is bounded, strings must be UTF-8, a field of
 * the wrong wire type is an error, unknown fields are skipped. Problems leave as WireError; `parseMessage` turns them
 * into a Parsed<T>, so nothing outside core/wire ever sees the exception.
 */
import { isUtf8 } from "node:buffer";
import { type Parsed, parsed, problem } from "../base/parse-result.ts";

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;
const MAX_DEPTH = 48;

/** Names, hosts, identities: nothing legitimate is longer. */
const MAX_STRING_BYTES = 4096;
/** Elements of one repeated field inside a resource. */
const MAX_ELEMENTS = 16_384;
/** One encoded resource; a Kubernetes object cannot be larger than 1.5 MiB. */
export const MAX_RESOURCE_BYTES = 2 * 1024 * 1024;

export class WireError extends Error {
  readonly path: string;

  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

export class ProtoReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #depth: number;
  #at: number;
  #wireType = 0;

  constructor(bytes: Uint8Array, depth = 0) {
    if (depth > MAX_DEPTH) throw new WireError("", `is nested deeper than ${MAX_DEPTH} messages`);
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = 0;
    this.#end = bytes.byteLength;
    this.#depth = depth;
  }

  /** Reads the next tag; the field number, or 0 at the end. */
  next(): number {
    if (this.#at === this.#end) return 0;
    const tag = this.#varint();
    if (tag < 8 || tag > 0xffff_ffff) throw new WireError("", `has an invalid tag ${tag}`);
    this.#wireType = tag & 7;
    return Math.floor(tag / 8);
  }

  /** Jumps over the value of an unknown field. */
  skip(): void {
    if (this.#wireType === VARINT) this.#varint();
    else if (this.#wireType === FIXED64) this.#take(8);
    else if (this.#wireType === LENGTH_DELIMITED) this.#take(this.#varint());
    else if (this.#wireType === FIXED32) this.#take(4);
    else throw new WireError("", `uses wire type ${this.#wireType}`);
  }

  string(maxBytes = MAX_STRING_BYTES): string {
    const bytes = this.bytes(maxBytes);
    const text = bytes.toString("utf8");
    if (text.includes("\ufffd") && !isUtf8(bytes)) throw new WireError("", "has a string that is not UTF-8");
    return text;
  }

  /** A view into the message, not a copy. */
  bytes(maxBytes: number): Buffer {
    this.#expect(LENGTH_DELIMITED);
    const length = this.#varint();
    if (length > maxBytes) throw new WireError("", `has a value of ${length} bytes, more than ${maxBytes}`);
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** A reader of the embedded message. */
  message(): ProtoReader {
    return new ProtoReader(this.bytes(Number.POSITIVE_INFINITY), this.#depth + 1);
  }

  /** uint32 or enum; larger numbers lose their upper bits, as in every protobuf implementation. */
  uint32(): number {
    this.#expect(VARINT);
    return this.#varint32();
  }

  bool(): boolean {
    this.#expect(VARINT);
    return this.#varint() !== 0;
  }

  /** Values beyond ±2^53 are an error. */
  int64(): number {
    this.#expect(VARINT);
    const value = BigInt.asIntN(64, this.#bigVarint());
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw new WireError("", "has a number beyond 2^53");
    return number;
  }

  double(): number {
    this.#expect(FIXED64);
    return this.#bytes.readDoubleLE(this.#take(8));
  }

  /** One or, when packed, several uint32 appended to `into`. */
  uint32s(into: number[]): void {
    if (this.#wireType === VARINT) {
      append(into, this.uint32());
      return;
    }
    const packed = this.message();
    while (packed.#at < packed.#end) append(into, packed.#varint32());
  }

  #expect(wireType: number): void {
    if (this.#wireType !== wireType)
      throw new WireError("", `has wire type ${this.#wireType} where ${wireType} belongs`);
  }

  #take(length: number): number {
    const start = this.#at;
    if (length > this.#end - start) throw new WireError("", "ends in the middle of a field");
    this.#at = start + length;
    return start;
  }

  /** For tags and lengths: above 2^53 the result is only approximate, and out of every bound. */
  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new WireError("", "has a number longer than 10 bytes");
  }

  /** The lower 32 bits, exactly. */
  #varint32(): number {
    let low = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte();
      if (i < 5) low |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return low >>> 0;
    }
    throw new WireError("", "has a number longer than 10 bytes");
  }

  #bigVarint(): bigint {
    let value = 0n;
    for (let i = 0n; i < 10n; i++) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << (7n * i);
      if (byte < 0x80) return value;
    }
    throw new WireError("", "has a number longer than 10 bytes");
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new WireError("", "ends in the middle of a number");
    return this.#bytes[this.#at++] ?? 0;
  }
}

/** What to do with each known field: field number to a function that reads its value into the draft. */
export type FieldReaders<D> = { readonly [field: number]: (draft: D, reader: ProtoReader) => void };

/** Reads all fields of one message into `draft`; repeated scalar fields follow "last one wins". */
export function readFields<D>(reader: ProtoReader, fields: FieldReaders<D>, draft: D): D {
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    const read = fields[field];
    if (read === undefined) reader.skip();
    else read(draft, reader);
  }
  return draft;
}

/** Appends with a bound on the list's length. */
export function append<T>(list: T[], item: T, max: number = MAX_ELEMENTS): void {
  if (list.length >= max) throw new WireError("", `has more than ${max} elements in one list`);
  list.push(item);
}

/** The edge between bytes and values: runs `read` and turns its WireError into a problem. */
export function parseMessage<T>(
  bytes: Uint8Array,
  maxBytes: number,
  read: (reader: ProtoReader) => T,
): Parsed<T> {
  if (bytes.byteLength > maxBytes) {
    return problem("", `is ${bytes.byteLength} bytes long, more than the ${maxBytes} allowed`);
  }
  try {
    return parsed(read(new ProtoReader(bytes)));
  } catch (error) {
    if (error instanceof WireError) return problem(error.path, error.message);
    throw error;
  }
}
