/** What a session sends first: a client the preface, both their SETTINGS and the window of the whole connection. */
import { CONNECTION_WINDOW } from "./flow-control.ts";
import { FrameType } from "./frame-types.ts";
import type { SessionCore } from "./session-core.ts";
import { encodeSettings } from "./settings.ts";

/** Before anything is granted (RFC 9113 6.9.2). */
const INITIAL_CONNECTION_WINDOW = 65_535;

/** Nothing goes out before the writer is released. */
export function writeFirstFrames({ writer, limits, role, floor }: SessionCore): void {
  const isServer = role === "server";
  const settings = encodeSettings({
    ...(isServer ? { maxConcurrentStreams: limits.announcedStreams } : { enablePush: false }),
    initialWindowSize: floor,
    maxFrameSize: limits.maxFrameSize,
    maxHeaderListSize: limits.maxHeaderListBytes,
  });
  writer.hold();
  if (!isServer) writer.preface();
  writer.control(FrameType.SETTINGS, 0, 0, settings);
  writer.number(FrameType.WINDOW_UPDATE, 0, CONNECTION_WINDOW - INITIAL_CONNECTION_WINDOW);
}
