/** HOT PATH, pure. How long a message's body is (RFC 9112 6), from its framing fields; every second opinion about it is refused. */

export interface FramingFields {
  /** Value of the only content-length line. */
  readonly length: string | undefined;
  readonly lengthLines: number;
  /** Value of the only transfer-encoding line. */
  readonly coding: string | undefined;
  readonly codingLines: number;
}

export type Framing =
  | { readonly kind: "absent" }
  | { readonly kind: "chunked" }
  | { readonly kind: "length"; readonly bytes: number }
  /** A coding that may be fine, but not for us: 501. */
  | { readonly kind: "unknown-coding" }
  | { readonly kind: "bad"; readonly reason: string };

export function readFraming(fields: FramingFields): Framing {
  if (fields.codingLines === 0 && fields.lengthLines === 0) return ABSENT;
  if (fields.codingLines > 0 && fields.lengthLines > 0) return BOTH;
  if (fields.codingLines > 1) return TWO_CODINGS;
  if (fields.lengthLines > 1) return TWO_LENGTHS;
  return fields.coding === undefined ? readLength(fields.length ?? "") : readCoding(fields.coding);
}

function readCoding(value: string): Framing {
  if (value.toLowerCase() === "chunked") return CHUNKED;
  return CODINGS.test(value) ? UNKNOWN_CODING : BAD_CODING;
}

function readLength(value: string): Framing {
  const digits = LENGTH.exec(value)?.[1];
  if (digits === undefined) return BAD_LENGTH;
  const bytes = Number(digits);
  return Number.isSafeInteger(bytes) ? { kind: "length", bytes } : BAD_LENGTH;
}

const LENGTH = /^0*(\d{1,16})$/;
const CODINGS = /^[\w.+-]+(?:[ \t]*,[ \t]*[\w.+-]+)*$/;
const ABSENT: Framing = { kind: "absent" };
const CHUNKED: Framing = { kind: "chunked" };
const UNKNOWN_CODING: Framing = { kind: "unknown-coding" };
const BOTH = bad("content-length and transfer-encoding");
const TWO_CODINGS = bad("transfer-encoding twice");
const TWO_LENGTHS = bad("content-length twice");
const BAD_CODING = bad("transfer-encoding is not chunked");
const BAD_LENGTH = bad("content-length is not a number of bytes");

function bad(reason: string): Framing {
  return { kind: "bad", reason };
}
