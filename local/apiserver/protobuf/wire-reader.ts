/** Pure. Protobuf wire format (protobuf.dev/programming-guides/encoding), bounded by the buffer: truncated input throws 400. */
import { badRequest } from "../http/status-error.ts";

export type WireValue = bigint | Buffer;

export interface WireField {
  readonly number: number;
  readonly value: WireValue;
}

/** All fields of one message, in order. */
export function readFields(bytes: Buffer): WireField[] {
  const fields: WireField[] = [];
  const at = { offset: 0 };
  while (at.offset < bytes.length) {
    const key = Number(readVarint(bytes, at));
    fields.push({ number: Math.floor(key / 8), value: readValue(bytes, at, key % 8) });
  }
  return fields;
}

function readValue(bytes: Buffer, at: { offset: number }, wireType: number): WireValue {
  if (wireType === 0) return readVarint(bytes, at);
  if (wireType === 1) return take(bytes, at, 8);
  if (wireType === 2) return take(bytes, at, Number(readVarint(bytes, at)));
  if (wireType === 5) return take(bytes, at, 4);
  throw badRequest("error decoding protobuf: unsupported wire type");
}

function take(bytes: Buffer, at: { offset: number }, length: number): Buffer {
  const end = at.offset + length;
  if (length < 0 || end > bytes.length) throw badRequest("error decoding protobuf: unexpected EOF");
  const slice = bytes.subarray(at.offset, end);
  at.offset = end;
  return slice;
}

function readVarint(bytes: Buffer, at: { offset: number }): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = bytes[at.offset];
    if (byte === undefined) throw badRequest("error decoding protobuf: unexpected EOF");
    at.offset += 1;
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asIntN(64, value);
  }
  throw badRequest("error decoding protobuf: varint too long");
}
