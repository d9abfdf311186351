/** Pure. Payload of GOAWAY (RFC 9113 6.8), with the reason as debug data for whoever captures it. */

export function goawayPayload(lastStream: number, code: number, reason: string): Uint8Array {
  const text = Buffer.from(reason, "latin1");
  const payload = Buffer.alloc(8 + text.length);
  payload.writeUInt32BE(lastStream, 0);
  payload.writeUInt32BE(code, 4);
  text.copy(payload, 8);
  return payload;
}
