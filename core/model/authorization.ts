/**
 * Pure. L4 authorization as ztunnel evaluates it (Istio's authorization.proto):
 * a policy matches when ANY rule matches; a rule when ALL clauses match; a clause when ANY match in it does.
 */
import type { Cidr } from "../net/cidr.ts";

export type AuthorizationScope = "global" | "namespace" | "workload-selector";
export type AuthorizationAction = "allow" | "deny";

export type StringMatch =
  | { readonly kind: "exact" | "prefix" | "suffix"; readonly value: string }
  | { readonly kind: "presence" };

export interface ServiceAccountMatch {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** One dimension: positive entries (empty = anything) and negative ones. */
export interface MatchList<T> {
  readonly any: readonly T[];
  readonly none: readonly T[];
}

export interface AuthorizationMatch {
  readonly namespaces: MatchList<StringMatch>;
  readonly principals: MatchList<StringMatch>;
  readonly serviceAccounts: MatchList<ServiceAccountMatch>;
  readonly sourceIps: MatchList<Cidr>;
  readonly destinationIps: MatchList<Cidr>;
  readonly destinationPorts: MatchList<number>;
}

export interface AuthorizationClause {
  readonly matches: readonly AuthorizationMatch[];
}

export interface AuthorizationRule {
  readonly clauses: readonly AuthorizationClause[];
}

export interface Authorization {
  readonly name: string;
  readonly namespace: string;
  readonly scope: AuthorizationScope;
  readonly action: AuthorizationAction;
  readonly rules: readonly AuthorizationRule[];
  readonly dryRun: boolean;
}

const NOTHING = { any: [], none: [] } as const;

/** A match without any condition, to be spread and narrowed. */
export const EMPTY_MATCH: AuthorizationMatch = {
  namespaces: NOTHING,
  principals: NOTHING,
  serviceAccounts: NOTHING,
  sourceIps: NOTHING,
  destinationIps: NOTHING,
  destinationPorts: NOTHING,
};
