/** HTTP/2 frames by hand, right and wrong, for tests. */

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, 4 * i);
  return bytes;
}

export const data = (streamId: number, payload: Uint8Array | string, flags = 0): Buffer =>
  frame(0, flags, streamId, Buffer.from(payload));
export const headers = (streamId: number, block: Uint8Array, flags = 4): Buffer =>
  frame(1, flags, streamId, block);
export const rst = (streamId: number, code = 8): Buffer => frame(3, 0, streamId, uint32(code));
export const ping = (flags = 0): Buffer => frame(6, flags, 0, Buffer.alloc(8));
export const goaway = (last: number, code = 0): Buffer => frame(7, 0, 0, uint32(last, code));
export const windowUpdate = (streamId: number, increment: number): Buffer =>
  frame(8, 0, streamId, uint32(increment));
export const settings = (...pairs: readonly (readonly [number, number])[]): Buffer =>
  frame(
    4,
    0,
    0,
    Buffer.concat(
      pairs.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id & 255]), uint32(value)])),
    ),
  );

/** A literal field without indexing, neither Huffman-coded nor from a table. */
export function literal(name: string, value: string): Buffer {
  return field(0, name, value);
}

/** The same, and it becomes the first entry of the dynamic table: 0xbe names it from then on. */
export function indexedEntry(name: string, value: string): Buffer {
  return field(0x40, name, value);
}

function field(form: number, name: string, value: string): Buffer {
  const text = (s: string): Buffer => {
    const bytes = Buffer.from(s, "latin1");
    const length =
      bytes.length < 127
        ? [bytes.length]
        : [127, ((bytes.length - 127) & 127) | 128, (bytes.length - 127) >> 7];
    return Buffer.concat([Buffer.from(length), bytes]);
  };
  return Buffer.concat([Buffer.from([form]), text(name), text(value)]);
}

export const connectBlock = (authority = "10.0.0.1:80"): Buffer =>
  Buffer.concat([literal(":method", "CONNECT"), literal(":authority", authority)]);

export function parseFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  let at = bytes.subarray(0, PREFACE.length).equals(PREFACE) ? PREFACE.length : 0;
  while (at < bytes.length) {
    const length = bytes.readUIntBE(at, 3);
    frames.push({
      type: bytes[at + 3] as number,
      flags: bytes[at + 4] as number,
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return frames;
}

/** What matters of an answer: `GOAWAY 1`, `RST 3 8`, `HEADERS 1`, `DATA 1 5`, `END 1`, `PONG`. */
export function summary(frames: readonly Frame[]): string[] {
  return frames.flatMap(({ type, flags, streamId, payload }) => {
    if (type === 7) return [`GOAWAY ${payload.readUInt32BE(4)}`];
    if (type === 3) return [`RST ${streamId} ${payload.readUInt32BE(0)}`];
    if (type === 1) return [`HEADERS ${streamId}`];
    if (type === 0)
      return [`DATA ${streamId} ${payload.length}`, ...((flags & 1) === 1 ? [`END ${streamId}`] : [])];
    return type === 6 && (flags & 1) === 1 ? ["PONG"] : [];
  });
}
