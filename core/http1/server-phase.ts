/** Pure. Where a caller's connection is, and how an early answer leaves it. */
import type { RequestHead } from "../http/message.ts";
import { MAX_DISCARDED_BYTES } from "./http1-limits.ts";

export type ServerPhase =
  /** Between requests, or in the middle of a head. */
  | "head"
  | "body"
  /** The request is complete, its answer is not. */
  | "wait"
  /** Answered; the rest of a short body is thrown away. */
  | "discard"
  | "tunnel"
  /** The last answer is out; whatever comes is thrown away. */
  | "linger"
  | "closed";

/** A body whose end is known and near, from a caller that does not wait for leave to send it: it may be thrown away to keep the connection. */
export function mayBeDiscarded(head: RequestHead, missingBytes: number): boolean {
  return head.body.kind === "length" && !head.expectsContinue && missingBytes <= MAX_DISCARDED_BYTES;
}
