/** Pure. Netlink messages and attributes (netlink(7)): a 16-byte head, a fixed body, then padded attributes. */

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

export interface NetlinkAttribute {
  readonly type: number;
  readonly value: Buffer;
}

const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const ATTRIBUTE_TYPE_MASK = 0x3fff;
export const NLA_NESTED = 0x8000;
/** Deepest and longest input we look at; the kernel's answers are far below. */
const MAX_ATTRIBUTES = 1_024;

export const NLM_F = {
  request: 1,
  ack: 4,
  replace: 0x100,
  excl: 0x200,
  create: 0x400,
  dump: 0x300,
} as const;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export function encodeMessage(message: NetlinkMessage, sequence: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + message.body.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(message.type, 4);
  bytes.writeUInt16LE(message.flags, 6);
  bytes.writeUInt32LE(sequence, 8);
  message.body.copy(bytes, HEADER_BYTES);
  return bytes;
}

/** The messages of one datagram; a damaged rest is dropped. */
export function decodeMessages(bytes: Buffer): readonly NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const length = bytes.readUInt32LE(at);
    if (length < HEADER_BYTES || at + length > bytes.length) break;
    messages.push({
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      body: bytes.subarray(at + HEADER_BYTES, at + length),
    });
    at += align4(length);
  }
  return messages;
}

export function encodeAttribute(type: number, value: Uint8Array | readonly Buffer[]): Buffer {
  const content = value instanceof Uint8Array ? value : Buffer.concat(value);
  const bytes = Buffer.alloc(align4(ATTRIBUTE_HEADER_BYTES + content.length));
  bytes.writeUInt16LE(ATTRIBUTE_HEADER_BYTES + content.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(content, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

export function decodeAttributes(bytes: Buffer): readonly NetlinkAttribute[] {
  const attributes: NetlinkAttribute[] = [];
  for (let at = 0; at + ATTRIBUTE_HEADER_BYTES <= bytes.length && attributes.length < MAX_ATTRIBUTES;) {
    const length = bytes.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > bytes.length) break;
    attributes.push({
      type: bytes.readUInt16LE(at + 2) & ATTRIBUTE_TYPE_MASK,
      value: bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length),
    });
    at += align4(length);
  }
  return attributes;
}

export function attributeOf(attributes: readonly NetlinkAttribute[], type: number): Buffer | undefined {
  return attributes.find((a) => a.type === type)?.value;
}

export function u32Of(attributes: readonly NetlinkAttribute[], type: number): number | undefined {
  const value = attributeOf(attributes, type);
  return value !== undefined && value.length >= 4 ? value.readUInt32LE(0) : undefined;
}

export function textOf(attributes: readonly NetlinkAttribute[], type: number): string | undefined {
  return attributeOf(attributes, type)?.toString("utf8").replace(/\0.*$/s, "");
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

export function zeroTerminated(text: string): Buffer {
  return Buffer.from(`${text}\0`, "utf8");
}

function align4(length: number): number {
  return (length + 3) & ~3;
}
