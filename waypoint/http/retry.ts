/**
 * Pure. Which requests are sent again: those that nobody can have acted on, and safe ones on a connection that had been used before and turned out to
 * be dead (RFC 9110 9.2.2). A destination that denies us is not replaced by another.
 */
import type { ClientFailure } from "#core/http/exchange.ts";
import type { RequestHead } from "#core/http/message.ts";
import type { Call } from "./call.ts";
import type { Reason } from "./reasons.ts";

export type Trouble =
  | { readonly kind: "not-connected"; readonly reason: Reason }
  | { readonly kind: "failed"; readonly failure: ClientFailure; readonly wasUsed: boolean };

/** "again": at once, on another connection; "elsewhere": not on this endpoint if there is another. */
export type RetryPlan = "no" | "again" | "elsewhere";

const MAX_ATTEMPTS = 3;
const FIRST_DELAY_MS = 25;
const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

export function shouldRetry(
  { attempts, head }: Pick<Call, "attempts" | "head">,
  trouble: Trouble,
): RetryPlan {
  if (attempts >= MAX_ATTEMPTS) return "no";
  if (trouble.kind === "not-connected") {
    const isHopeless = trouble.reason === "upstream-refused" || trouble.reason === "upstream-overflow";
    return isHopeless ? "no" : "elsewhere";
  }
  const { failure, wasUsed } = trouble;
  if (failure.kind === "unsent") return "again";
  const isStale = failure.kind === "lost" && !failure.afterHead && wasUsed;
  return isStale && isHarmless(head) ? "again" : "no";
}

/** May be done twice, and can be: nothing of it would have to be kept. */
export function isHarmless({
  method,
  body,
  upgrade,
}: Pick<RequestHead, "method" | "body" | "upgrade">): boolean {
  return body.kind === "none" && upgrade === undefined && SAFE.has(method);
}

/** `random`: 0 <= x < 1. */
export function retryDelayMs(attempts: number, plan: RetryPlan, random: number): number {
  return plan === "again" ? 0 : FIRST_DELAY_MS * 2 ** (attempts - 1) * (0.5 + random);
}
