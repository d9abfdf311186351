/** Types of a session and of who uses it. */
import type { Clock } from "../base/clock.ts";
import type { ReceiveBudget } from "./flow-control.ts";
import type { FloodLimits } from "./flood-limits.ts";
import type { RequestHead } from "./header-rules.ts";
import type { HeaderField } from "./hpack/header-field.ts";
import type { Http2Stream } from "./http2-stream.ts";

export type Request = Exclude<RequestHead, { readonly kind: "malformed" }>;

export interface SessionEvents {
  /** The peer's SETTINGS have come: a client's connection is accepted from here on. */
  onReady?(): void;
  /**
   * Server: a well-formed request. `stream.events` must be set before this returns. A body ends with `onEnd`,
   * which comes at once for a request that ends with its head (`stream.remoteEnding` tells).
   */
  onRequest?(stream: Http2Stream, head: Request, fields: readonly HeaderField[]): void;
  /** Server: a request whose header list is above the bound. To be answered; without this it is reset. */
  onTooLarge?(stream: Http2Stream): void;
  /** The peer broke a rule on one stream, which was reset with `code`; the connection lives on. `reason`: if its head did. */
  onBreach?(code: number, reason?: string): void;
  /** The peer wants no new streams. */
  onGoaway?(): void;
  /** A stream ended, or the peer changed its limit. */
  onCapacity?(): void;
  /** Last event. `error` is undefined when the session ended without losing a stream. */
  onClose(error: Error | undefined): void;
}

export interface SessionOptions {
  readonly role: "client" | "server";
  readonly events: SessionEvents;
  readonly clock?: Clock;
  readonly budget?: ReceiveBudget;
  readonly limits?: SessionLimits;
  /** Client: requests go out before the peer's SETTINGS came, as RFC 9113 3.4 allows: no first round trip is lost. */
  readonly sendsEarly?: boolean;
  /** What is written within one turn of the event loop goes out together: for requests, of which there are many. */
  readonly gathers?: boolean;
}

export interface SessionLimits {
  /** Announced to clients. */
  readonly announcedStreams: number;
  /** Refused above; far higher, because a peer may not have seen our SETTINGS yet. */
  readonly maxStreams: number;
  readonly maxFrameSize: number;
  /** A stream's window at first, if the budget would give it more; it grows with use. */
  readonly streamFloor?: number;
  readonly maxHeaderListBytes: number;
  /** From the start to the peer's SETTINGS. */
  readonly settingsTimeoutMs: number;
  /** From the first octet of a header block to its last. */
  readonly headTimeoutMs: number;
  /** For the acknowledgement of ours, and for a peer that does not read our answers. */
  readonly stallTimeoutMs: number;
  readonly pingAfterMs: number;
  readonly pongTimeoutMs: number;
  readonly controlOutputBytes: number;
  readonly flood: FloodLimits | undefined;
}

const COMMON = {
  announcedStreams: 200,
  maxStreams: 1_000,
  maxFrameSize: 1_048_576,
  settingsTimeoutMs: 10_000,
  headTimeoutMs: 10_000,
  stallTimeoutMs: 20_000,
  pingAfterMs: 10_000,
  pongTimeoutMs: 20_000,
  controlOutputBytes: 65_536,
  flood: undefined,
};

export const CLIENT_LIMITS: SessionLimits = { ...COMMON, maxHeaderListBytes: 16_384 };
export const SERVER_LIMITS: SessionLimits = { ...COMMON, maxHeaderListBytes: 65_536 };
