/** Pure. A field of a policy, compiled: what it is about, and whether a request meets it. */
import type { MatchList } from "../../model/authorization.ts";
import type { MatchDimension } from "../decision.ts";
import type { RequestFacts } from "./request-facts.ts";

export interface Condition {
  readonly dimension: MatchDimension;
  readonly holds: (request: RequestFacts) => boolean;
}

/**
 * How a value is compared. Where a match permits (ALLOW `hosts`, DENY `notHosts`), as Istio does; where it refuses (DENY `hosts`, ALLOW
 * `notHosts`), also by what an application may take for the same.
 */
export type Side = "permitting" | "refusing";

export interface Sides {
  readonly any: Side;
  readonly none: Side;
}

export const SIDES: Readonly<Record<"allow" | "deny", Sides>> = {
  allow: { any: "permitting", none: "refusing" },
  deny: { any: "refusing", none: "permitting" },
};

/** Any positive entry (or none given) and no negative one; undefined when nothing is asked. */
export function listCondition<T>(
  dimension: MatchDimension,
  list: MatchList<T>,
  hits: (entry: T, request: RequestFacts) => boolean,
): Condition | undefined {
  return twoSidedCondition(dimension, list, { any: hits, none: hits });
}

export function twoSidedCondition<T>(
  dimension: MatchDimension,
  { any, none }: MatchList<T>,
  hits: Readonly<Record<"any" | "none", (entry: T, request: RequestFacts) => boolean>>,
): Condition | undefined {
  if (any.length === 0 && none.length === 0) return undefined;
  return {
    dimension,
    holds: (request) => (any.length === 0 || hit(any, request, hits.any)) && !hit(none, request, hits.none),
  };
}

/** A loop, not `some`: no closure per request. */
function hit<T>(
  entries: readonly T[],
  request: RequestFacts,
  hits: (entry: T, request: RequestFacts) => boolean,
): boolean {
  for (const entry of entries) if (hits(entry, request)) return true;
  return false;
}
