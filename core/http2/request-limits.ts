/** Bounds of connections that carry requests. They are narrower than those of tunnels: anyone in the mesh may be a caller. */
import { MAX_TIMER_MS } from "../base/clock.ts";
import { SMALL_STREAM_FLOOR } from "./flow-control.ts";
import type { FloodLimits } from "./flood-limits.ts";
import { SERVER_LIMITS, type SessionLimits } from "./session-options.ts";

/** Field lines of one head. */
export const MAX_FIELDS = 200;

/** Frames go with requests and with bytes, which give back; so a flood is told from a busy caller. */
const REQUEST_FLOOD: FloodLimits = {
  resets: { capacity: 500, perSecond: 100 },
  controlFrames: { capacity: 2_000, perSecond: 500 },
  controlFramesPerKib: 1,
  controlFramesPerStream: 4,
  headerBlockBytes: 65_536,
  continuationFrames: 8,
};

/** Callers are many, and each may have many requests that rest. Frames are those that everybody can send. */
const WINDOWS = { streamFloor: SMALL_STREAM_FLOOR, maxFrameSize: 16_384 };
/** The way below is watched by the tunnel; gRPC servers end connections that ping without need. */
const NO_PING = { pingAfterMs: MAX_TIMER_MS };

export const REQUEST_SERVER_LIMITS: SessionLimits = {
  ...SERVER_LIMITS,
  ...NO_PING,
  ...WINDOWS,
  announcedStreams: 200,
  maxStreams: 250,
  flood: REQUEST_FLOOD,
};

/** Answers may have heads as large as requests. */
export const REQUEST_CLIENT_LIMITS: SessionLimits = {
  ...SERVER_LIMITS,
  ...NO_PING,
  ...WINDOWS,
  flood: REQUEST_FLOOD,
};
