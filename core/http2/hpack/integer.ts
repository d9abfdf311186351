/**
 * HOT PATH. HPACK integers (RFC 7541 5.1): an N-bit prefix and up to five continuation octets.
 * A reader walks one header block; it never reads past `end`.
 */

/** Where in a header block the decoder stands. One per decoder, reused for each block. */
export interface BlockReader {
  bytes: Uint8Array;
  position: number;
  end: number;
}

/** The result of a read that failed: cut off, or larger than anything that a header block may hold. */
export const MALFORMED = -1;

/** Far above any length or index of a block of 64 KiB, far below where doubles or shifts lose bits. */
const MAX_INTEGER = 0x0fff_ffff;
const MAX_CONTINUATION_OCTETS = 5;

/** The integer at the reader's position, whose first octet has `prefixBits` bits for it; or MALFORMED. */
export function readInteger(reader: BlockReader, prefixBits: number): number {
  const { bytes, end } = reader;
  if (reader.position >= end) return MALFORMED;
  const mask = (1 << prefixBits) - 1;
  let value = (bytes[reader.position++] as number) & mask;
  if (value < mask) return value;
  let factor = 1;
  for (let octets = 0; octets < MAX_CONTINUATION_OCTETS; octets++) {
    if (reader.position >= end) return MALFORMED;
    const octet = bytes[reader.position++] as number;
    value += (octet & 0x7f) * factor;
    if (value > MAX_INTEGER) return MALFORMED;
    if (octet < 0x80) return value;
    factor *= 128;
  }
  return MALFORMED;
}

/** The most octets that `writeInteger` writes. */
export const MAX_INTEGER_OCTETS = 6;

/** Writes `value` with the pattern bits `pattern` above the prefix; returns the offset behind it. */
export function writeInteger(
  out: Uint8Array,
  offset: number,
  prefix: { readonly bits: number; readonly pattern: number },
  value: number,
): number {
  const mask = (1 << prefix.bits) - 1;
  let at = offset;
  if (value < mask) {
    out[at++] = prefix.pattern | value;
    return at;
  }
  out[at++] = prefix.pattern | mask;
  let rest = value - mask;
  while (rest > 0x7f) {
    out[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[at++] = rest;
  return at;
}
