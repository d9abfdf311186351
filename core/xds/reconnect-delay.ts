/** Pure but for the backoff it advances. How long to wait before the next stream, as Istio's ztunnel does. */
import { status } from "@grpc/grpc-js";
import type { Backoff } from "../base/backoff.ts";
import type { StreamEnd } from "./delta-stream.ts";

export const RECONNECT_BACKOFF = { firstMs: 10, maxMs: 15_000 } as const;

/** Ends that are part of life: a controller restarts, a proxy between drops the connection. */
const ORDINARY: ReadonlySet<number> = new Set([status.UNKNOWN, status.CANCELLED, status.DEADLINE_EXCEEDED]);
const CLOSING = /transport is closing|received prior goaway|session closed|connection dropped/i;

/** A stream that lived so long was a working one, whatever ended it. */
const SETTLED_MS = 10_000;

export interface StreamLife {
  readonly hadResponse: boolean;
  readonly livedMs: number;
}

/**
 * Milliseconds. A stream that has brought something, and ended as streams do or lived for a while, starts the backoff anew. One that
 * never did, however politely it ended, and one that is refused after its first answer wait longer each time: a server that only
 * ever hangs up must not be hammered.
 */
export function reconnectDelayMs(end: StreamEnd, life: StreamLife, backoff: Backoff): number {
  const { hadResponse, livedMs } = life;
  if (hadResponse && (isOrdinary(end) || livedMs >= SETTLED_MS)) backoff.reset();
  if (!hadResponse || !isOrdinary(end)) return backoff.next();
  return end.kind === "clean" ? 0 : RECONNECT_BACKOFF.firstMs;
}

function isOrdinary(end: StreamEnd): boolean {
  if (end.kind === "clean") return true;
  if (end.kind !== "status") return false;
  return ORDINARY.has(end.code) || (end.code === status.UNAVAILABLE && CLOSING.test(end.error));
}
