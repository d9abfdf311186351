import assert from "node:assert/strict";
import { test } from "node:test";
import type { Authorization, AuthorizationMatch, StringMatch } from "../model/authorization.ts";
import type { ConnectionFacts } from "../model/connection.ts";
import { policyKey } from "../model/ids.ts";
import { type SpiffeId, spiffeId } from "../model/spiffe-id.ts";
import { cidr } from "../net/cidr.ts";
import { ip } from "../net/ip.ts";
import { aMatch, anAuthorization, anAuthorizationOf, aStrictPolicy } from "../testing/builders.ts";
import { evaluate, evaluateDryRun, evaluateSet } from "./evaluate.ts";
import { decisionFields, describeConnection, explainDecision } from "./explain.ts";
import { policiesFor, type PolicyLookup } from "./policies-for.ts";

const FRONTEND = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "frontend" });
const INTRUDER = spiffeId({ trustDomain: "cluster.local", namespace: "evil", serviceAccount: "frontend" });

function connection(
  sourceIdentity: SpiffeId | undefined,
  given: Partial<ConnectionFacts> = {},
): ConnectionFacts {
  return {
    source: { ip: ip("10.0.0.9"), port: 41_234 },
    destination: { ip: ip("10.0.0.5"), port: 8080 },
    sourceIdentity,
    ...given,
  };
}

const presence = { kind: "presence" } as const;
const exact = (value: string) => ({ kind: "exact", value }) as const;
const prefix = (value: string) => ({ kind: "prefix", value }) as const;
const suffix = (value: string) => ({ kind: "suffix", value }) as const;

/** Whether the match holds for the connection, seen through a DENY. */
function hits(match: Partial<AuthorizationMatch>, facts: ConnectionFacts): boolean {
  return evaluate([anAuthorizationOf(match, { action: "deny" })], facts).kind === "deny";
}

const any = <T>(...list: readonly T[]) => ({ any: list, none: [] });
const none = <T>(...list: readonly T[]) => ({ any: [], none: list });

interface MatchCase {
  readonly name: string;
  readonly match: Partial<AuthorizationMatch>;
  readonly from?: SpiffeId | undefined;
  readonly hits: boolean;
}

const WITHOUT_IDENTITY = { from: undefined } as const;
const MATCHES: readonly MatchCase[] = [
  { name: "an empty match never holds", match: {}, hits: false },
  {
    name: "a principal is compared without its scheme",
    match: { principals: any(exact("cluster.local/ns/shop/sa/frontend")) },
    hits: true,
  },
  {
    name: "a principal with its scheme matches nobody",
    match: { principals: any(exact(FRONTEND)) },
    hits: false,
  },
  { name: "principal prefix", match: { principals: any(prefix("cluster.local/ns/shop/")) }, hits: true },
  { name: "principal suffix", match: { principals: any(suffix("/sa/frontend")) }, hits: true },
  { name: "case counts", match: { principals: any(suffix("/sa/Frontend")) }, hits: false },
  {
    name: "any of several principals",
    match: { principals: any<StringMatch>(exact("x"), presence) },
    hits: true,
  },
  {
    name: "presence needs an identity",
    match: { principals: any(presence) },
    ...WITHOUT_IDENTITY,
    hits: false,
  },
  {
    name: "a prefix of nothing needs an identity",
    match: { principals: any(prefix("")) },
    ...WITHOUT_IDENTITY,
    hits: false,
  },
  {
    name: "not presence: no identity",
    match: { principals: none(presence) },
    ...WITHOUT_IDENTITY,
    hits: true,
  },
  { name: "not presence: an identity", match: { principals: none(presence) }, hits: false },
  {
    name: "a positive and a negative hit",
    match: { principals: { any: [presence], none: [suffix("frontend")] } },
    hits: false,
  },
  { name: "namespace", match: { namespaces: any(exact("shop")) }, hits: true },
  {
    name: "namespace of nobody is empty",
    match: { namespaces: any(exact("")) },
    ...WITHOUT_IDENTITY,
    hits: true,
  },
  {
    name: "namespace presence needs an identity",
    match: { namespaces: any(presence) },
    ...WITHOUT_IDENTITY,
    hits: false,
  },
  {
    name: "not namespace of nobody holds",
    match: { namespaces: none(exact("shop")) },
    ...WITHOUT_IDENTITY,
    hits: true,
  },
  {
    name: "service account",
    match: { serviceAccounts: any({ namespace: "shop", serviceAccount: "frontend" }) },
    hits: true,
  },
  {
    name: "service account of another namespace",
    match: { serviceAccounts: any({ namespace: "evil", serviceAccount: "frontend" }) },
    hits: false,
  },
  {
    name: "service account of nobody",
    match: { serviceAccounts: any({ namespace: "", serviceAccount: "" }) },
    ...WITHOUT_IDENTITY,
    hits: false,
  },
  { name: "source block", match: { sourceIps: any(cidr(ip("10.0.0.0"), 24)) }, hits: true },
  { name: "not source block", match: { sourceIps: none(cidr(ip("10.0.0.0"), 24)) }, hits: false },
  { name: "source block of the other family", match: { sourceIps: any(cidr(ip("::"), 0)) }, hits: false },
  { name: "destination address", match: { destinationIps: any(cidr(ip("10.0.0.5"), 32)) }, hits: true },
  { name: "destination port", match: { destinationPorts: any(80, 8080) }, hits: true },
  { name: "not destination port", match: { destinationPorts: none(8080) }, hits: false },
  {
    name: "the source's port is not the destination's",
    match: { destinationPorts: any(41_234) },
    hits: false,
  },
  {
    name: "two dimensions, one fails",
    match: { principals: any(presence), destinationPorts: any(1) },
    hits: false,
  },
  {
    name: "two dimensions hold",
    match: { principals: any(presence), destinationPorts: any(8080) },
    hits: true,
  },
];

for (const c of MATCHES) {
  test(c.name, () => {
    const from = Object.hasOwn(c, "from") ? c.from : FRONTEND;
    assert.equal(hits(c.match, connection(from)), c.hits);
  });
}

test("a trust domain does not matter to service accounts", () => {
  const elsewhere = spiffeId({ trustDomain: "td2", namespace: "shop", serviceAccount: "frontend" });
  const match = { serviceAccounts: any({ namespace: "shop", serviceAccount: "frontend" }) };
  assert.ok(hits(match, connection(elsewhere)));
});

interface SetCase {
  readonly name: string;
  readonly policies: readonly Authorization[];
  readonly expect: string;
}

const yes = { clauses: [] };
const no = { clauses: [{ matches: [aMatch()] }] };
const emptyClause = { clauses: [{ matches: [] }] };
const half = { clauses: [{ matches: [] }, { matches: [aMatch()] }] };
const allow = (given: Partial<Authorization>): Authorization => anAuthorization({ name: "a", ...given });
const deny = (given: Partial<Authorization>): Authorization =>
  anAuthorization({ name: "d", action: "deny", ...given });

const SETS: readonly SetCase[] = [
  { name: "no policies allow", policies: [], expect: "allow no-allow-policies" },
  { name: "an ALLOW without rules refuses all", policies: [allow({})], expect: "deny no-allow-matched" },
  { name: "a DENY without rules refuses nobody", policies: [deny({})], expect: "allow no-allow-policies" },
  {
    name: "a rule without clauses matches",
    policies: [allow({ rules: [yes] })],
    expect: "allow matched-allow",
  },
  {
    name: "a clause without matches holds",
    policies: [allow({ rules: [emptyClause] })],
    expect: "allow matched-allow",
  },
  {
    name: "a clause of empty matches does not",
    policies: [allow({ rules: [no] })],
    expect: "deny no-allow-matched",
  },
  { name: "every clause must hold", policies: [allow({ rules: [half] })], expect: "deny no-allow-matched" },
  { name: "any rule suffices", policies: [allow({ rules: [no, yes] })], expect: "allow matched-allow" },
  {
    name: "DENY beats ALLOW",
    policies: [allow({ rules: [yes] }), deny({ rules: [yes] })],
    expect: "deny matched-deny",
  },
  {
    name: "one ALLOW of several suffices",
    policies: [allow({}), allow({ rules: [yes] })],
    expect: "allow matched-allow",
  },
  {
    name: "a DENY that misses leaves it to ALLOW",
    policies: [deny({ rules: [no] }), allow({ rules: [no] })],
    expect: "deny no-allow-matched",
  },
  {
    name: "a dry-run ALLOW does not count",
    policies: [allow({ dryRun: true })],
    expect: "allow no-allow-policies",
  },
  {
    name: "a dry-run DENY does not count",
    policies: [deny({ rules: [yes], dryRun: true })],
    expect: "allow no-allow-policies",
  },
];

for (const c of SETS) {
  test(c.name, () => {
    const decision = evaluate(c.policies, connection(FRONTEND));
    assert.equal(`${decision.kind} ${decision.reason}`, c.expect);
  });
}

test("the strict policy refuses whoever has no identity", () => {
  assert.equal(evaluate([aStrictPolicy()], connection(undefined)).kind, "deny");
  assert.equal(evaluate([aStrictPolicy()], connection(INTRUDER)).kind, "allow");
});

test("a decision names policy and rule", () => {
  const policies = [deny({ namespace: "shop", rules: [no, no, yes] })];
  const decision = evaluate(policies, connection(FRONTEND));
  assert.deepEqual(decision, { kind: "deny", reason: "matched-deny", policy: "shop/d", rule: 2 });
  assert.equal(explainDecision(decision), "explicitly denied by: shop/d (rule 2)");
  assert.deepEqual(decisionFields(decision), { reason: "matched-deny", policy: "shop/d", rule: 2 });
});

test("a refusal names the nearest rule and what differs", () => {
  const far = aMatch({ principals: any(suffix("/sa/nobody")), destinationPorts: any(1) });
  const near = aMatch({ principals: any(suffix("/sa/cart")), destinationPorts: any(8080) });
  const policy = allow({
    namespace: "shop",
    rules: [{ clauses: [{ matches: [far] }] }, { clauses: [{ matches: [far, near] }] }],
  });
  const decision = evaluate([policy], connection(FRONTEND));
  assert.deepEqual(decision, {
    kind: "deny",
    reason: "no-allow-matched",
    nearest: { policy: "shop/a", rule: 1, failed: ["principals"] },
  });
  assert.equal(
    explainDecision(decision),
    "allow policies exist, but none allowed; nearest: shop/a (rule 1), which differs in source principal",
  );
});

test("an ALLOW without rules has no nearest rule", () => {
  const decision = evaluate([allow({})], connection(FRONTEND));
  assert.deepEqual(decision, { kind: "deny", reason: "no-allow-matched", nearest: undefined });
  assert.match(explainDecision(decision), /they have no rules/);
});

test("dry-run policies are reported, not enforced", () => {
  const policies = [deny({ rules: [no, yes], dryRun: true }), allow({ rules: [no], dryRun: true })];
  assert.deepEqual(evaluateDryRun(policies, connection(FRONTEND)), [
    { policy: "default/d", rule: 1, action: "deny" },
  ]);
  assert.deepEqual(evaluateDryRun([deny({ rules: [yes] })], connection(FRONTEND)), []);
});

const byNamespace = deny({ name: "ns", namespace: "shop" });
const mesh = deny({ name: "mesh", namespace: "istio-system", scope: "global" });
const selected = deny({ name: "sel", namespace: "shop", scope: "workload-selector" });
const lookup: PolicyLookup = {
  global: () => [mesh],
  inNamespace: (namespace) => (namespace === "shop" ? [byNamespace] : []),
  get: (key) => [byNamespace, mesh, selected].find((p) => policyKey(p.namespace, p.name) === key),
};

test("a workload is ruled by its namespace, the mesh and what it names, each once", () => {
  const named = [policyKey("shop", "sel"), policyKey("shop", "ns")];
  const set = policiesFor({ namespace: "shop", authorizationPolicies: named }, lookup);
  assert.deepEqual(set, { kind: "known", policies: [mesh, byNamespace, selected] });
  const elsewhere = policiesFor({ namespace: "other", authorizationPolicies: [] }, lookup);
  assert.deepEqual(elsewhere, { kind: "known", policies: [mesh] });
});

test("a policy name that is not there refuses", () => {
  const names = [policyKey("shop", "gone"), policyKey("shop", "sel")];
  const set = policiesFor({ namespace: "shop", authorizationPolicies: names }, lookup);
  assert.deepEqual(set, { kind: "missing", names: ["shop/gone"] });
  const decision = evaluateSet(set, connection(FRONTEND));
  assert.equal(decision.kind, "deny");
  assert.match(explainDecision(decision), /shop\/gone/);
  assert.deepEqual(decisionFields(decision), { reason: "policy-missing", policy: "shop/gone" });
});

test("a connection is described by identity and addresses", () => {
  assert.equal(
    describeConnection(connection(undefined)),
    "nobody known from 10.0.0.9:41234 to 10.0.0.5:8080",
  );
});
