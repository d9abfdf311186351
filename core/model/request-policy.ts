/**
 * Pure. An AuthorizationPolicy as a waypoint judges a request by it. A policy matches when ANY rule matches; a rule when its `from`, its `to`
 * and ALL of its `when` match; `from` and `to` when ANY entry does (an empty list: anything); an entry when ALL its fields do.
 */
import type { Cidr } from "../net/cidr.ts";
import type { MatchList, ServiceAccountMatch, StringMatch } from "./authorization.ts";
import type { PolicyKey } from "./ids.ts";

/**
 * Part of a template, in order. Literal text has its slashes in it and may follow a wildcard within a segment (`{*}.json`); every wildcard begins
 * a segment. `one` (`{*}`): what is not a slash, at least one; `rest` (`{**}`): anything or nothing, the last wildcard of a template.
 */
export type PathSegment =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "one" }
  | { readonly kind: "rest" };

export type PathMatch =
  | StringMatch
  | { readonly kind: "template"; readonly segments: readonly PathSegment[] };

export interface SourceMatch {
  readonly principals: MatchList<StringMatch>;
  readonly namespaces: MatchList<StringMatch>;
  readonly serviceAccounts: MatchList<ServiceAccountMatch>;
  /** TCP peer of the tunnel. */
  readonly sourceIps: MatchList<Cidr>;
}

export interface OperationMatch {
  readonly hosts: MatchList<StringMatch>;
  readonly methods: MatchList<StringMatch>;
  readonly paths: MatchList<PathMatch>;
  readonly ports: MatchList<number>;
}

export type ConditionMatch =
  | { readonly kind: "source"; readonly match: SourceMatch }
  | { readonly kind: "destination-ip"; readonly values: MatchList<Cidr> }
  | { readonly kind: "destination-port"; readonly values: MatchList<number> }
  | { readonly kind: "header"; readonly name: string; readonly values: MatchList<StringMatch> };

export interface RequestRule {
  /** Its number in the policy as written, where rules before it were left out; else its place. */
  readonly index?: number;
  readonly from: readonly SourceMatch[];
  readonly to: readonly OperationMatch[];
  readonly when: readonly ConditionMatch[];
}

export interface RequestPolicy {
  readonly key: PolicyKey;
  /** "audit": what matches is noted, and nothing is decided by it. */
  readonly action: "allow" | "deny" | "audit";
  /** Judged and logged, never decisive. */
  readonly dryRun: boolean;
  readonly rules: readonly RequestRule[];
}

/** Whether it decides nothing: what it matches is in the access log alone. */
export function onlyObserves({ action, dryRun }: Pick<RequestPolicy, "action" | "dryRun">): boolean {
  return dryRun || action === "audit";
}
