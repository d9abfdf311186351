/** Pure. A head as a reader of either version hands it to the rules: syntax of names and values is checked, meaning is not. */
import type { HttpField, HttpVersion, Refusal } from "./message.ts";

export interface RawRequest {
  readonly version: HttpVersion;
  readonly method: string;
  /** HTTP/1: the request target as sent. HTTP/2: `:path`. */
  readonly target: string;
  /** HTTP/2: `:scheme`. */
  readonly scheme: string | undefined;
  /** HTTP/2: `:authority`. */
  readonly authority: string | undefined;
  /** Every field line in order, `host` and framing fields too; names are lower-case tokens, values without blank ends. */
  readonly fields: readonly HttpField[];
  /** HTTP/2: END_STREAM came with the head. HTTP/1: false. */
  readonly ended: boolean;
}

export interface RawResponse {
  readonly version: HttpVersion;
  readonly status: number;
  /** As those of a request. */
  readonly fields: readonly HttpField[];
  readonly ended: boolean;
}

export function refusal(status: number, reason: string): Refusal {
  return { status, reason };
}

/** For the outcome of a check: whatever is no refusal has no reason. */
export function isRefusal<T extends object>(outcome: T | Refusal): outcome is Refusal {
  return "reason" in outcome;
}
