/**
 * Pure. SETTINGS of RFC 9113 6.5: values, their validation with the error code of each case, the payload.
 * Ids that are not known are ignored, as 6.5.2 demands.
 */
import { ErrorCode } from "./error-codes.ts";

export interface Http2Settings {
  readonly headerTableSize: number;
  readonly enablePush: boolean;
  /** Infinity: the peer set no limit. */
  readonly maxConcurrentStreams: number;
  readonly initialWindowSize: number;
  readonly maxFrameSize: number;
  /** Infinity: the peer set no limit. */
  readonly maxHeaderListSize: number;
  /** RFC 8441: `:protocol` may be used with CONNECT. */
  readonly enableConnectProtocol: boolean;
}

/** What holds before the first SETTINGS frame. */
export const DEFAULT_SETTINGS: Http2Settings = {
  headerTableSize: 4_096,
  enablePush: true,
  maxConcurrentStreams: Number.POSITIVE_INFINITY,
  initialWindowSize: 65_535,
  maxFrameSize: 16_384,
  maxHeaderListSize: Number.POSITIVE_INFINITY,
  enableConnectProtocol: false,
};

export const MAX_WINDOW_SIZE = 0x7fff_ffff;
const MIN_MAX_FRAME_SIZE = 16_384;
const MAX_MAX_FRAME_SIZE = 0xff_ffff;
const SETTING_OCTETS = 6;
/** RFC 9113 defines six; a frame with many more only costs time. */
const MAX_SETTINGS_PER_FRAME = 64;

const SettingId = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
  enableConnectProtocol: 0x8,
  noRfc7540Priorities: 0x9,
} as const;

export interface SettingsRefusal {
  readonly kind: "refused";
  readonly code: ErrorCode;
  readonly reason: string;
}

export type SettingsOutcome =
  | { readonly kind: "settings"; readonly settings: Http2Settings }
  | SettingsRefusal;

/** Checks of RFC 9113 6.5 that need the frame header only. Undefined: the frame may be read. */
export function checkSettingsFrame(frame: {
  readonly streamId: number;
  readonly ack: boolean;
  readonly length: number;
}): SettingsRefusal | undefined {
  const { streamId, ack, length } = frame;
  if (streamId !== 0) return refused(ErrorCode.PROTOCOL_ERROR, `SETTINGS on stream ${streamId}`);
  if (ack && length !== 0)
    return refused(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS acknowledgement with a payload");
  if (length % SETTING_OCTETS !== 0)
    return refused(ErrorCode.FRAME_SIZE_ERROR, `SETTINGS of ${length} octets, not a multiple of 6`);
  if (length > SETTING_OCTETS * MAX_SETTINGS_PER_FRAME)
    return refused(ErrorCode.ENHANCE_YOUR_CALM, `${length / SETTING_OCTETS} settings in one frame`);
  return undefined;
}

/**
 * The settings after a peer's frame, values applied in order (RFC 9113 6.5.3).
 * `sender` is who sent it: a server must not enable push.
 */
export function applySettings(
  current: Http2Settings,
  payload: Uint8Array,
  sender: "client" | "server",
): SettingsOutcome {
  const next: Mutable = { ...current };
  for (let at = 0; at + SETTING_OCTETS <= payload.length; at += SETTING_OCTETS) {
    const refusal = applyOne(next, readUint16(payload, at), readUint32(payload, at + 2), sender);
    if (refusal !== undefined) return refusal;
  }
  return { kind: "settings", settings: next };
}

/** The payload of a SETTINGS frame with the given values, in the order of their ids. */
export function encodeSettings(values: Partial<Http2Settings>): Uint8Array {
  const pairs = Object.entries(SettingId).flatMap(([name, id]) => {
    const value = (values as Readonly<Record<string, number | boolean | undefined>>)[name];
    return value === undefined || value === Number.POSITIVE_INFINITY ? [] : [[id, Number(value)] as const];
  });
  const payload = new Uint8Array(pairs.length * SETTING_OCTETS);
  const view = new DataView(payload.buffer);
  for (const [index, [id, value]] of pairs.entries()) {
    view.setUint16(index * SETTING_OCTETS, id);
    view.setUint32(index * SETTING_OCTETS + 2, value);
  }
  return payload;
}

type Mutable = { -readonly [K in keyof Http2Settings]: Http2Settings[K] };

type Apply = (next: Mutable, value: number, sender: "client" | "server") => SettingsRefusal | undefined;

const APPLY: Readonly<Record<number, Apply>> = {
  [SettingId.headerTableSize]: (next, value) => {
    next.headerTableSize = value;
    return undefined;
  },
  [SettingId.enablePush]: (next, value, sender) => {
    if (value > 1) return refused(ErrorCode.PROTOCOL_ERROR, `ENABLE_PUSH of ${value}, not 0 or 1`);
    if (value === 1 && sender === "server") return refused(ErrorCode.PROTOCOL_ERROR, "a server enabled push");
    next.enablePush = value === 1;
    return undefined;
  },
  [SettingId.maxConcurrentStreams]: (next, value) => {
    next.maxConcurrentStreams = value;
    return undefined;
  },
  [SettingId.initialWindowSize]: (next, value) => {
    if (value > MAX_WINDOW_SIZE)
      return refused(ErrorCode.FLOW_CONTROL_ERROR, `INITIAL_WINDOW_SIZE of ${value}, above 2^31-1`);
    next.initialWindowSize = value;
    return undefined;
  },
  [SettingId.maxFrameSize]: (next, value) => {
    if (value < MIN_MAX_FRAME_SIZE || value > MAX_MAX_FRAME_SIZE)
      return refused(ErrorCode.PROTOCOL_ERROR, `MAX_FRAME_SIZE of ${value}, outside 2^14..2^24-1`);
    next.maxFrameSize = value;
    return undefined;
  },
  [SettingId.maxHeaderListSize]: (next, value) => {
    next.maxHeaderListSize = value;
    return undefined;
  },
  [SettingId.enableConnectProtocol]: (next, value) => {
    if (value > 1 || (value === 0 && next.enableConnectProtocol))
      return refused(
        ErrorCode.PROTOCOL_ERROR,
        `ENABLE_CONNECT_PROTOCOL of ${value}, not 0 or 1, or taken back`,
      );
    next.enableConnectProtocol = value === 1;
    return undefined;
  },
  // RFC 9218 2.1: Ambit has no priorities, so the value itself says nothing to it.
  [SettingId.noRfc7540Priorities]: (_next, value) =>
    value > 1
      ? refused(ErrorCode.PROTOCOL_ERROR, `NO_RFC7540_PRIORITIES of ${value}, not 0 or 1`)
      : undefined,
};

function applyOne(
  next: Mutable,
  id: number,
  value: number,
  sender: "client" | "server",
): SettingsRefusal | undefined {
  return APPLY[id]?.(next, value, sender);
}

function refused(code: ErrorCode, reason: string): SettingsRefusal {
  return { kind: "refused", code, reason };
}

function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function readUint32(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at) * 0x1_0000 + readUint16(bytes, at + 2);
}
