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
import { type Condition, listCondition, type RequestTest, type Sides, SIDES } from "./condition.ts";
import { fieldTest } from "./field-match.ts";
import { hostTest } from "./host-match.ts";
import { pathTest } from "./path-match.ts";
import { type TextTest, textTest } from "./text-test.ts";

/** Holds when all of its conditions do. */
export type CompiledEntry = readonly Condition[];
/** Holds when any of its entries does. */
export type CompiledGroup = readonly CompiledEntry[];

/** Holds when all of its groups do. */
export interface CompiledRule {
  /** Index in the policy as written by the user. */
  readonly index: number;
  readonly groups: readonly CompiledGroup[];
  /** The same, so that most rules are one loop: conditions of groups with one entry, and the other groups. */
  readonly conditions: CompiledEntry;
  readonly choices: readonly CompiledGroup[];
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
    rules: rules.map(({ index, rule }) => compiledRule(index, compileRule(rule, sides, action))),
  };
}

function compiledRule(index: number, groups: readonly CompiledGroup[]): CompiledRule {
  return {
    index,
    groups,
    conditions: groups.flatMap((group) => (group.length === 1 ? (group[0] ?? []) : [])),
    choices: groups.filter((group) => group.length !== 1),
  };
}

/** What a request says is asked first: it tells rules apart more often than the caller does. */
function compileRule(
  { from, to, when }: RequestRule,
  sides: Sides,
  action: RequestPolicy["action"],
): readonly CompiledGroup[] {
  const groups = [
    to.map((operation) => compileOperation(operation, sides)),
    from.map(compileSource),
    ...when.map((condition) => [compileCondition(condition, sides)]),
  ].filter((group) => group.length > 0);
  return action === "allow" ? groups.map(withoutEmpty) : groups;
}

/** An entry without conditions is never made. Should one come about, it is no reason to allow, and one to deny or to note. */
function withoutEmpty(group: CompiledGroup): CompiledGroup {
  return group.filter((entry) => entry.length > 0);
}

function compileSource(match: SourceMatch): CompiledEntry {
  return given([
    listCondition("principals", match.principals, (entries) => {
      const matches = textTest(entries);
      return ({ peer }) => peer.principal !== undefined && matches(peer.principal);
    }),
    listCondition("namespaces", match.namespaces, (entries) => {
      const matches = textTest(entries);
      return ({ peer }) => matches(peer.namespace);
    }),
    listCondition("service-accounts", match.serviceAccounts, isAccount),
    listCondition(
      "source-ips",
      match.sourceIps,
      (blocks) =>
        ({ peer }) =>
          inAny(blocks, peer.ipBytes),
    ),
  ]);
}

function isAccount(accounts: SourceMatch["serviceAccounts"]["any"]): RequestTest {
  return ({ peer }) => {
    for (const { namespace, serviceAccount } of accounts)
      if (peer.serviceAccount === serviceAccount && peer.namespace === namespace) return true;
    return false;
  };
}

function compileOperation(match: OperationMatch, sides: Sides): CompiledEntry {
  return given([
    ports(match.ports),
    listCondition("methods", match.methods, (entries) => {
      const matches = textTest(entries);
      return ({ http }) => http !== undefined && matches(http.method);
    }),
    listCondition("paths", match.paths, (entries) => {
      const matches = pathTest(entries);
      return ({ http }) => http !== undefined && matches(http.path);
    }),
    hosts("hosts", match.hosts, sides),
  ]);
}

function compileCondition(condition: ConditionMatch, sides: Sides): CompiledEntry {
  switch (condition.kind) {
    case "source":
      return compileSource(condition.match);
    case "destination-ip":
      return given([
        listCondition(
          "destination-ips",
          condition.values,
          (blocks) =>
            ({ destination }) =>
              inAny(blocks, ipToBytes(destination.ip)),
        ),
      ]);
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
  return listCondition("headers", values, (entries, side) => {
    const matches = fieldTest(name, entries, sides[side]);
    return ({ http }) => http !== undefined && matches(http.fields);
  });
}

function hosts(
  dimension: MatchDimension,
  list: OperationMatch["hosts"],
  sides: Sides,
): Condition | undefined {
  return listCondition(dimension, list, (entries, side) => {
    const matches: TextTest = hostTest(entries, sides[side]);
    return ({ http }) => http !== undefined && matches(http.authority);
  });
}

function ports(list: MatchList<number>): Condition | undefined {
  return listCondition(
    "destination-ports",
    list,
    (entries) =>
      ({ destination }) =>
        entries.includes(destination.port),
  );
}

function inAny(blocks: readonly Cidr[], bytes: Uint8Array): boolean {
  for (const block of blocks) if (cidrContainsBytes(block, bytes)) return true;
  return false;
}

function given(conditions: readonly (Condition | undefined)[]): CompiledEntry {
  return conditions.filter((condition) => condition !== undefined);
}
