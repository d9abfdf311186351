/**
 * HOT PATH. Read memory that all handles of the process may share, because whoever reads into it consumes the bytes
 * before `onData` returns.
 */

/** For applications' sockets: large, so that bulk needs few reads. */
export const sharedReadBuffer: Buffer = Buffer.allocUnsafeSlow(128 * 1024);

/** For connections of which only little must be read for now. */
export const smallSharedReadBuffer: Buffer = Buffer.allocUnsafeSlow(8 * 1024);
