/**
 * Pure. Distinguished Encoding Rules (X.690), as much as X.509 needs. The reader is strict: one-byte tags, definite
 * and minimal lengths, nothing left over. It throws DerError, which the parsers above turn into problems.
 */

export const DER = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
  /** Context-specific, constructed. */
  context: (number: number): number => 0xa0 | number,
  /** Context-specific, primitive. */
  contextPrimitive: (number: number): number => 0x80 | number,
} as const;

export class DerError extends Error {}

export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Tag and length included. */
  readonly whole: Uint8Array;
}

export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The tag that comes next; undefined at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** The next element, whatever it is. */
  any(): DerElement {
    const start = this.#at;
    const tag = this.#byte();
    if ((tag & 0x1f) === 0x1f) throw new DerError("has a tag of several bytes");
    const length = this.#length();
    const from = this.#at;
    if (length > this.#bytes.length - from) throw new DerError("ends in the middle of an element");
    this.#at = from + length;
    return {
      tag,
      content: this.#bytes.subarray(from, this.#at),
      whole: this.#bytes.subarray(start, this.#at),
    };
  }

  element(tag: number): DerElement {
    if (this.peek() !== tag) throw new DerError(`has tag ${this.peek() ?? "nothing"} where ${tag} belongs`);
    return this.any();
  }

  content(tag: number): Uint8Array {
    return this.element(tag).content;
  }

  /** A reader of the constructed element. */
  inside(tag: number): DerReader {
    return new DerReader(this.content(tag));
  }

  optional(tag: number): DerElement | undefined {
    return this.peek() === tag ? this.any() : undefined;
  }

  boolean(): boolean {
    const content = this.content(DER.boolean);
    const value = content[0];
    if (content.length !== 1 || (value !== 0 && value !== 0xff)) throw new DerError("has a bad boolean");
    return value === 0xff;
  }

  /** An INTEGER's bytes in minimal form, sign byte included. */
  integer(): Uint8Array {
    const content = this.content(DER.integer);
    const [first, second = 0] = content;
    const padded =
      content.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
    if (first === undefined || padded) throw new DerError("has an integer that is not minimal");
    return content;
  }

  /** A BIT STRING of whole bytes. */
  bits(): Uint8Array {
    const content = this.content(DER.bitString);
    if (content[0] !== 0) throw new DerError("has a bit string with unused bits");
    return content.subarray(1);
  }

  end(): void {
    if (!this.done) throw new DerError("has bytes after its end");
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0 || count > 3) throw new DerError("has an indefinite or too long length");
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte();
    if (length < 0x80 || length < 256 ** (count - 1)) throw new DerError("has a length that is not minimal");
    return length;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new DerError("ends too early");
    this.#at++;
    return byte;
  }
}

/** One element around the concatenated contents. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Uint8Array.of(tag), lengthBytes(length), ...contents]);
}

export function derSequence(...contents: readonly Uint8Array[]): Uint8Array {
  return der(DER.sequence, ...contents);
}

/** From dotted text. */
export function derOid(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap(base128);
  return der(DER.oid, Uint8Array.from(bytes));
}

/** A non-negative INTEGER from its big-endian bytes. */
export function derInteger(magnitude: Uint8Array): Uint8Array {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  const minimal = magnitude.subarray(start);
  const needsSign = (minimal[0] ?? 0) >= 0x80;
  return needsSign ? der(DER.integer, Uint8Array.of(0), minimal) : der(DER.integer, minimal);
}

export function derBits(bytes: Uint8Array): Uint8Array {
  return der(DER.bitString, Uint8Array.of(0), bytes);
}

export function derTrue(): Uint8Array {
  return Uint8Array.of(DER.boolean, 1, 0xff);
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280 4.1.2.5). Seconds resolution. */
export function derTime(ms: number): Uint8Array {
  const digits = `${new Date(ms).toISOString().replaceAll(/[-:T]/g, "").slice(0, 14)}Z`;
  return Number(digits.slice(0, 4)) < 2050
    ? der(DER.utcTime, Buffer.from(digits.slice(2), "latin1"))
    : der(DER.generalizedTime, Buffer.from(digits, "latin1"));
}

function lengthBytes(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  if (length < 0x100) return Uint8Array.of(0x81, length);
  if (length < 0x1_0000) return Uint8Array.of(0x82, length >> 8, length & 0xff);
  return Uint8Array.of(0x83, length >> 16, (length >> 8) & 0xff, length & 0xff);
}

function base128(value: number): readonly number[] {
  const bytes = [value & 0x7f];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128))
    bytes.unshift((rest & 0x7f) | 0x80);
  return bytes;
}
