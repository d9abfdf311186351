/** Pure. A RequestPolicy as tests over requests, made once per snapshot: a rule is groups of entries, an entry a list of conditions. */
import type { MatchList } from "../../model/authorization.ts";
import type { PolicyKey } from "../../model/ids.ts";
import type {
  ConditionMatch,
  OperationMatch,
  RequestPolicy,
  RequestRule,
  SourceMatch,
} from "../../model/request-policy.ts";
import { type Cidr, cidrContainsBytes } from "../../net/cidr.ts";
import { ipToBytes } from "../../net/ip.ts";
import type { MatchDimension } from "../decision.ts";
import { matchesText } from "../match-connection.ts";
import { type Condition, listCondition, type Sides, SIDES, twoSidedCondition } from "./condition.ts";
import { fieldHits } from "./field-match.ts";
import { hostHits, hostPattern } from "./host-match.ts";
import { pathTest } from "./path-match.ts";
import type { RequestFacts } from "./request-facts.ts";

/** Holds when all of its conditions do. */
export type CompiledEntry = readonly Condition[];
/** Holds when any of its entries does. */
export type CompiledGroup = readonly CompiledEntry[];

/** Holds when all of its groups do. */
export interface CompiledRule {
  /** Index in the policy as written by the user. */
  readonly index: number;
  readonly groups: readonly CompiledGroup[];
}

export interface CompiledPolicy {
  readonly key: PolicyKey;
  readonly action: RequestPolicy["action"];
  readonly dryRun: boolean;
  readonly rules: readonly CompiledRule[];
}

/** Rules that have a meaning for what is judged; `index` as in the policy. */
export interface IndexedRule {
  readonly index: number;
  readonly rule: RequestRule;
}

export function compilePolicy(policy: RequestPolicy, rules: readonly IndexedRule[]): CompiledPolicy {
  const { key, action, dryRun } = policy;
  const sides = SIDES[action];
  return {
    key,
    action,
    dryRun,
    rules: rules.map(({ index, rule }) => ({ index, groups: compileRule(rule, sides, action) })),
  };
}

function compileRule(
  { from, to, when }: RequestRule,
  sides: Sides,
  action: RequestPolicy["action"],
): readonly CompiledGroup[] {
  const groups = [
    from.map(compileSource),
    to.map((operation) => compileOperation(operation, sides)),
    ...when.map((condition) => [compileCondition(condition, sides)]),
  ].filter((group) => group.length > 0);
  return action === "deny" ? groups : groups.map(withoutEmpty);
}

/** An entry without conditions is never made. Should one come about, it is no reason to allow, and one to deny. */
function withoutEmpty(group: CompiledGroup): CompiledGroup {
  return group.filter((entry) => entry.length > 0);
}

function compileSource(match: SourceMatch): CompiledEntry {
  return given([
    listCondition("principals", match.principals, (entry, { peer }) =>
      peer.principal === undefined ? false : matchesText(entry, peer.principal),
    ),
    listCondition("namespaces", match.namespaces, (entry, { peer }) => matchesText(entry, peer.namespace)),
    listCondition(
      "service-accounts",
      match.serviceAccounts,
      (entry, { peer }) => peer.serviceAccount === entry.serviceAccount && peer.namespace === entry.namespace,
    ),
    listCondition("source-ips", match.sourceIps, (block, { peer }) => cidrContainsBytes(block, peer.ipBytes)),
  ]);
}

function compileOperation(match: OperationMatch, sides: Sides): CompiledEntry {
  return given([
    ports(match.ports),
    listCondition("methods", match.methods, (entry, { http }) =>
      http === undefined ? false : matchesText(entry, http.method),
    ),
    listCondition("paths", mapped(match.paths, pathTest), (test, { http }) =>
      http === undefined ? false : test(http.path),
    ),
    hosts("hosts", match.hosts, sides),
  ]);
}

function compileCondition(condition: ConditionMatch, sides: Sides): CompiledEntry {
  switch (condition.kind) {
    case "source":
      return compileSource(condition.match);
    case "destination-ip":
      return given([listCondition("destination-ips", condition.values, destinationIn)]);
    case "destination-port":
      return given([ports(condition.values)]);
    case "header":
      return given([header(condition.name, condition.values, sides)]);
  }
}

function header(
  name: string,
  values: Extract<ConditionMatch, { kind: "header" }>["values"],
  sides: Sides,
): Condition | undefined {
  if (name === "host") return hosts("headers", values, sides);
  return twoSidedCondition("headers", values, {
    any: (entry, { http }) => (http === undefined ? false : fieldHits(entry, http.fields, name, sides.any)),
    none: (entry, { http }) => (http === undefined ? false : fieldHits(entry, http.fields, name, sides.none)),
  });
}

function hosts(
  dimension: MatchDimension,
  list: OperationMatch["hosts"],
  sides: Sides,
): Condition | undefined {
  return twoSidedCondition(dimension, mapped(list, hostPattern), {
    any: (entry, { http }) => (http === undefined ? false : hostHits(entry, http.authority, sides.any)),
    none: (entry, { http }) => (http === undefined ? false : hostHits(entry, http.authority, sides.none)),
  });
}

function ports(list: MatchList<number>): Condition | undefined {
  return listCondition("destination-ports", list, (port, { destination }) => port === destination.port);
}

function destinationIn(block: Cidr, { destination }: RequestFacts): boolean {
  return cidrContainsBytes(block, ipToBytes(destination.ip));
}

function mapped<A, B>(list: MatchList<A>, change: (entry: A) => B): MatchList<B> {
  return { any: list.any.map(change), none: list.none.map(change) };
}

function given(conditions: readonly (Condition | undefined)[]): CompiledEntry {
  return conditions.filter((condition) => condition !== undefined);
}
