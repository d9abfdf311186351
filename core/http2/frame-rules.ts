/** Pure. What a frame header alone can do wrong (RFC 9113 4.2, 6): each case is a connection error. */
import { ErrorCode } from "./error-codes.ts";
import { Flag, FrameType } from "./frame-types.ts";

export interface FrameHeader {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly length: number;
}

export interface FrameBreach {
  readonly code: ErrorCode;
  readonly reason: string;
}

/** `exact` length, or a minimum, by type; SETTINGS has its own check with its payload. */
const EXACT_LENGTH: Readonly<Record<number, number>> = {
  [FrameType.PRIORITY]: 5,
  [FrameType.RST_STREAM]: 4,
  [FrameType.PING]: 8,
  [FrameType.WINDOW_UPDATE]: 4,
};

const ON_STREAM: ReadonlySet<number> = new Set([
  FrameType.DATA,
  FrameType.HEADERS,
  FrameType.PRIORITY,
  FrameType.RST_STREAM,
  FrameType.CONTINUATION,
]);
const ON_CONNECTION: ReadonlySet<number> = new Set([FrameType.SETTINGS, FrameType.PING, FrameType.GOAWAY]);

/** `blockStream`: the stream whose header block is not finished, or 0. Undefined: nothing is wrong so far. */
export function checkFrameHeader(
  header: FrameHeader,
  maxFrameSize: number,
  blockStream: number,
): FrameBreach | undefined {
  const { type, streamId, length, flags } = header;
  // The common case first.
  if (type === FrameType.DATA && streamId !== 0 && blockStream === 0 && length <= maxFrameSize) {
    return length === 0 && (flags & Flag.PADDED) !== 0 ? sizeBreach(header) : undefined;
  }
  if (length > maxFrameSize) return sizeBreach(header);
  return (
    blockBreach(header, blockStream) ??
    streamBreach(header) ??
    (isLengthWrong(header) ? sizeBreach(header) : undefined)
  );
}

/** RFC 9113 6.10: a header block is not interrupted, and CONTINUATION only continues one. */
function blockBreach({ type, streamId }: FrameHeader, blockStream: number): FrameBreach | undefined {
  const isContinuation = type === FrameType.CONTINUATION;
  if (blockStream === 0) {
    return isContinuation ? protocolBreach("CONTINUATION without a header block") : undefined;
  }
  const isContinued = isContinuation && streamId === blockStream;
  return isContinued ? undefined : protocolBreach("a header block was interrupted");
}

function streamBreach({ type, streamId }: FrameHeader): FrameBreach | undefined {
  if (type === FrameType.PUSH_PROMISE) return protocolBreach("PUSH_PROMISE, which was not enabled");
  if (streamId === 0 && ON_STREAM.has(type)) return protocolBreach(`frame type ${type} on stream 0`);
  if (streamId !== 0 && ON_CONNECTION.has(type)) return protocolBreach(`frame type ${type} on a stream`);
  return undefined;
}

function isLengthWrong({ type, flags, length }: FrameHeader): boolean {
  const exact = EXACT_LENGTH[type];
  if (exact !== undefined) return length !== exact;
  if (type === FrameType.GOAWAY) return length < 8;
  if (type !== FrameType.HEADERS) return false;
  return length < ((flags & Flag.PADDED) !== 0 ? 1 : 0) + ((flags & Flag.PRIORITY) !== 0 ? 5 : 0);
}

function sizeBreach({ type, length }: FrameHeader): FrameBreach {
  return { code: ErrorCode.FRAME_SIZE_ERROR, reason: `frame type ${type} of ${length} octets` };
}

function protocolBreach(reason: string): FrameBreach {
  return { code: ErrorCode.PROTOCOL_ERROR, reason };
}
