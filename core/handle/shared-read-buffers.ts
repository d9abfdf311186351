/**
 * HOT PATH. Read memory that all handles of the process may share, because whoever reads into it consumes the bytes
 * before `onData` returns.
 */

/** Memory in front of what is read: a tunnel puts its frame header there and sends both without a copy. */
const HEADROOM_BYTES = 9;
/** With the header sixteen full TLS records: a few bytes more would be a record of their own. */
const READ_BYTES = 256 * 1024 - HEADROOM_BYTES;

const memory: Buffer = Buffer.allocUnsafeSlow(HEADROOM_BYTES + READ_BYTES);

/** For applications' sockets: large, so that bulk needs few reads. */
export const sharedReadBuffer: Buffer = memory.subarray(HEADROOM_BYTES);

/**
 * `bytes` with the 9 bytes in front of them, which may be written; undefined when these are not the beginning of the
 * shared memory. Like `bytes` themselves: only before `onData` returns.
 */
export function withHeadroom(bytes: Uint8Array): Buffer | undefined {
  const isShared = bytes.buffer === memory.buffer && bytes.byteOffset === sharedReadBuffer.byteOffset;
  return isShared ? memory.subarray(0, HEADROOM_BYTES + bytes.length) : undefined;
}

/** For connections of which only little must be read for now. */
export const smallSharedReadBuffer: Buffer = Buffer.allocUnsafeSlow(8 * 1024);
