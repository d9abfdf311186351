/** Pure. HOT PATH. A field of a policy, compiled: what it is about, and whether a request meets it. */
import type { MatchList } from "../../model/authorization.ts";
import type { RequestPolicy } from "../../model/request-policy.ts";
import type { MatchDimension } from "../decision.ts";
import type { RequestFacts } from "./request-facts.ts";

export type RequestTest = (request: RequestFacts) => boolean;

export interface Condition {
  readonly dimension: MatchDimension;
  readonly holds: RequestTest;
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

export const SIDES: Readonly<Record<RequestPolicy["action"], Sides>> = {
  allow: { any: "permitting", none: "refusing" },
  deny: { any: "refusing", none: "permitting" },
  // What an application may take for a match is to be noted.
  audit: { any: "refusing", none: "permitting" },
};

/**
 * Any positive entry (or none given) and no negative one; undefined when nothing is asked. `hits`: a test of whether one of the entries does; it is
 * made for each side once, for lists that are not empty.
 */
export function listCondition<T>(
  dimension: MatchDimension,
  list: MatchList<T>,
  hits: (entries: readonly T[], side: keyof Sides) => RequestTest,
): Condition | undefined {
  const any = list.any.length === 0 ? undefined : hits(list.any, "any");
  const none = list.none.length === 0 ? undefined : hits(list.none, "none");
  if (any === undefined && none === undefined) return undefined;
  if (none === undefined) return any && { dimension, holds: any };
  if (any === undefined) return { dimension, holds: (request) => !none(request) };
  return { dimension, holds: (request) => any(request) && !none(request) };
}
