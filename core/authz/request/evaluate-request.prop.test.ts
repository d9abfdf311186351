/** What holds of every set of request policies and every request: against a slow evaluator, and against the one of ztunnels. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { HttpField } from "../../http/message.ts";
import {
  type Authorization,
  type AuthorizationMatch,
  EMPTY_MATCH,
  type MatchList,
  type StringMatch,
} from "../../model/authorization.ts";
import {
  type ConditionMatch,
  onlyObserves,
  type OperationMatch,
  type RequestPolicy,
  type RequestRule,
} from "../../model/request-policy.ts";
import { cidrContains } from "../../net/cidr.ts";
import {
  arbitraryL4RequestPolicy,
  arbitraryRequest,
  arbitraryRequestPolicy,
} from "../../testing/arbitrary-requests.ts";
import type { Decision } from "../decision.ts";
import { evaluate } from "../evaluate.ts";
import { explainDecision } from "../explain.ts";
import { evaluateRequest, observeRequest } from "./evaluate-request.ts";
import { compileRequestPolicies } from "./policy-sets.ts";
import type { RequestFacts } from "./request-facts.ts";

/** Of two policies with one key, the first: a snapshot has each once. */
function distinct(policies: readonly RequestPolicy[]): readonly RequestPolicy[] {
  return policies.filter((policy, i) => policies.findIndex(({ key }) => key === policy.key) === i);
}

function decide(policies: readonly RequestPolicy[], request: RequestFacts): Decision {
  const once = distinct(policies);
  return evaluateRequest(compileRequestPolicies(once).setOf(once.map(({ key }) => key)), request);
}

/*
 * The slow evaluator, from the rules alone: it lists all texts under which a request may be known, and shares nothing with the first.
 */

function naiveText(match: StringMatch, text: string): boolean {
  if (match.kind === "presence") return text.length > 0;
  const pattern = match.value.replaceAll(/[.*+?^${}()|[\]\\/-]/g, String.raw`\$&`);
  return new RegExp({ exact: `^${pattern}$`, prefix: `^${pattern}`, suffix: `${pattern}$` }[match.kind]).test(
    text,
  );
}

type Facts = RequestFacts & { readonly http: NonNullable<RequestFacts["http"]> };

function hostNames(authority: string, refusing: boolean): readonly string[] {
  const whole = authority.toLowerCase();
  if (!refusing) return [whole];
  const parts = /^(\[[^\]]*\]|[^:]*)(:\d+)?$/.exec(whole) ?? [];
  const [, host = whole, port = ""] = parts;
  const bare = host.replace(/\.$/, "");
  return [whole, host, bare, bare + port];
}

function fieldValues(fields: readonly HttpField[], name: string, refusing: boolean): readonly string[] {
  const lines = fields.filter((field) => field.name === name).map((field) => field.value);
  if (lines.length === 0) return [];
  return refusing ? [lines.join(","), ...lines] : [lines.join(",")];
}

/** `side` tells for "any" and "none" whether a hit refuses somebody. */
function naiveList<T>(list: MatchList<T>, hit: (entry: T, side: "any" | "none") => boolean): boolean {
  const positive = list.any.map((entry) => hit(entry, "any"));
  const negative = list.none.map((entry) => hit(entry, "none"));
  return (positive.length === 0 || positive.includes(true)) && !negative.includes(true);
}

function naiveOperation(match: OperationMatch, { http, destination }: Facts, deny: boolean): boolean {
  const refusing = { any: deny, none: !deny };
  const lower = (m: StringMatch): StringMatch =>
    m.kind === "presence" ? m : { ...m, value: m.value.toLowerCase() };
  return [
    naiveList(match.hosts, (m, side) =>
      hostNames(http.authority, refusing[side]).some((name) => naiveText(lower(m), name)),
    ),
    naiveList(match.methods, (m) => naiveText(m, http.method)),
    naiveList(match.paths, (m) =>
      m.kind === "template" ? naiveTemplate(m.segments, http.path) : naiveText(m, http.path),
    ),
    naiveList(match.ports, (port) => port === destination.port),
  ].every(Boolean);
}

/** Tries every way to divide the path. */
function naiveTemplate(
  [first, ...rest]: Extract<OperationMatch["paths"]["any"][number], { kind: "template" }>["segments"],
  path: string,
): boolean {
  if (first === undefined) return path === "";
  if (first.kind === "literal")
    return path.startsWith(first.text) && naiveTemplate(rest, path.slice(first.text.length));
  const least = first.kind === "one" ? 1 : 0;
  return Array.from({ length: path.length + 1 }, (_, i) => i).some(
    (end) =>
      end >= least &&
      (first.kind === "rest" || !path.slice(0, end).includes("/")) &&
      naiveTemplate(rest, path.slice(end)),
  );
}

function naiveSource(match: RequestRule["from"][number], { peer }: Facts): boolean {
  const [, , trustDomain = "", , namespace = "", , account = ""] = peer.identity?.split("/") ?? [];
  const known = peer.identity !== undefined;
  return [
    naiveList(match.principals, (m) => known && naiveText(m, `${trustDomain}/ns/${namespace}/sa/${account}`)),
    naiveList(match.namespaces, (m) => naiveText(m, namespace)),
    naiveList(
      match.serviceAccounts,
      (m) => known && m.namespace === namespace && m.serviceAccount === account,
    ),
    naiveList(match.sourceIps, (block) => cidrContains(block, peer.ip)),
  ].every(Boolean);
}

function naiveCondition(condition: ConditionMatch, request: Facts, deny: boolean): boolean {
  switch (condition.kind) {
    case "source":
      return naiveSource(condition.match, request);
    case "destination-ip":
      return naiveList(condition.values, (block) => cidrContains(block, request.destination.ip));
    case "destination-port":
      return naiveList(condition.values, (port) => port === request.destination.port);
    case "header": {
      const { name, values } = condition;
      if (name === "host") return naiveOperation({ ...ANY_OPERATION, hosts: values }, request, deny);
      const refusing = { any: deny, none: !deny };
      return naiveList(values, (m, side) =>
        fieldValues(request.http.fields, name, refusing[side]).some(
          (value) => m.kind === "presence" || naiveText(m, value),
        ),
      );
    }
  }
}

const NOTHING = { any: [], none: [] } as const;
const ANY_OPERATION: OperationMatch = { hosts: NOTHING, methods: NOTHING, paths: NOTHING, ports: NOTHING };

function naiveRule({ from, to, when }: RequestRule, request: Facts, deny: boolean): boolean {
  return (
    (from.length === 0 || from.some((match) => naiveSource(match, request))) &&
    (to.length === 0 || to.some((match) => naiveOperation(match, request, deny))) &&
    when.every((condition) => naiveCondition(condition, request, deny))
  );
}

function naiveAllows(policies: readonly RequestPolicy[], request: Facts): boolean {
  const enforced = distinct(policies).filter((policy) => !onlyObserves(policy));
  const matching = enforced.filter(({ action, rules }) =>
    rules.some((rule) => naiveRule(rule, request, action === "deny")),
  );
  if (matching.some((policy) => policy.action === "deny")) return false;
  if (!enforced.some((policy) => policy.action === "allow")) return true;
  return matching.some((policy) => policy.action === "allow");
}

const policySet = fc.array(arbitraryRequestPolicy, { maxLength: 4 });
const l4Set = fc.array(arbitraryL4RequestPolicy, { maxLength: 4 });

test("the evaluator agrees with a naive one", () => {
  const seen = { allow: 0, deny: 0 };
  fc.assert(
    fc.property(policySet, arbitraryRequest, (policies, request) => {
      const { kind } = decide(policies, request);
      seen[kind]++;
      assert.equal(kind === "allow", naiveAllows(policies, request as Facts));
    }),
    { numRuns: 8000 },
  );
  assert.ok(seen.allow > 1000 && seen.deny > 1000, JSON.stringify(seen));
});

/** The policy as ztunnels have it; `undefined` for what they do not. */
function asAuthorization(policy: RequestPolicy, rules: readonly RequestRule[]): Authorization {
  const [namespace = "", name = ""] = policy.key.split("/");
  const action = policy.action === "audit" ? "deny" : policy.action;
  const dryRun = onlyObserves(policy);
  return { name, namespace, scope: "namespace", action, dryRun, rules: rules.map(asRule) };
}

function asRule({ from, to, when }: RequestRule): Authorization["rules"][number] {
  const clauses = [
    from.map((match): AuthorizationMatch => ({ ...EMPTY_MATCH, ...match })),
    to.map(({ ports }): AuthorizationMatch => ({ ...EMPTY_MATCH, destinationPorts: ports })),
    ...when.map((condition) => [asMatch(condition)]),
  ];
  return { clauses: clauses.filter((matches) => matches.length > 0).map((matches) => ({ matches })) };
}

function asMatch(condition: ConditionMatch): AuthorizationMatch {
  switch (condition.kind) {
    case "source":
      return { ...EMPTY_MATCH, ...condition.match };
    case "destination-ip":
      return { ...EMPTY_MATCH, destinationIps: condition.values };
    case "destination-port":
      return { ...EMPTY_MATCH, destinationPorts: condition.values };
    case "header":
      throw new Error("ztunnels see no headers");
  }
}

function atL4(policies: readonly Authorization[], { peer, destination }: RequestFacts): Decision {
  return evaluate(policies, { source: { ip: peer.ip, port: 1 }, destination, sourceIdentity: peer.identity });
}

test("(a) policies about connections alone: a waypoint decides as ztunnel does, requests and connections alike", () => {
  const seen = { allow: 0, deny: 0 };
  fc.assert(
    fc.property(l4Set, arbitraryRequest, (policies, request) => {
      const once = distinct(policies);
      const there = atL4(
        once.map((policy) => asAuthorization(policy, policy.rules)),
        request,
      );
      seen[there.kind]++;
      for (const http of [request.http, undefined]) {
        const { kind, reason, ...rest } = decide(policies, { ...request, http });
        const { kind: expected, reason: why, ...others } = there;
        assert.deepEqual({ kind, reason }, { kind: expected, reason: why });
        // The nearest miss may differ among equals; the policy and the rule that decided may not.
        if (!("nearest" in rest)) assert.deepEqual(rest, others);
      }
    }),
    { numRuns: 5000 },
  );
  assert.ok(seen.allow > 500 && seen.deny > 500, JSON.stringify(seen));
});

const asked = ({ any, none }: MatchList<unknown>): boolean => any.length + none.length > 0;
const hasHttp = ({ hosts, methods, paths }: OperationMatch): boolean => [hosts, methods, paths].some(asked);
const speaksOfHttp = ({ to, when }: RequestRule): boolean =>
  to.some(hasHttp) || when.some(({ kind }) => kind === "header");

/** HTTP conditions erased: an entry of nothing else is met by anybody, and so is its list. */
function erased({ from, to, when }: RequestRule): RequestRule {
  return {
    from,
    to: to.some((match) => hasHttp(match) && !asked(match.ports))
      ? []
      : to.map(({ ports }) => ({ ...ANY_OPERATION, ports })),
    when: when.filter(({ kind }) => kind !== "header"),
  };
}

test("(b) what a waypoint allows, ztunnel allows with HTTP erased from ALLOW rules and without DENY rules that have any", () => {
  const seen = { allow: 0, deny: 0 };
  fc.assert(
    fc.property(policySet, arbitraryRequest, (policies, request) => {
      const here = decide(policies, request);
      seen[here.kind]++;
      if (here.kind === "deny") return;
      const wider = distinct(policies).map((policy) =>
        policy.action === "allow"
          ? asAuthorization(policy, policy.rules.map(erased))
          : asAuthorization(
              policy,
              policy.rules.filter((rule) => !speaksOfHttp(rule)),
            ),
      );
      assert.equal(atL4(wider, request).kind, "allow");
    }),
    { numRuns: 5000 },
  );
  assert.ok(seen.allow > 500, JSON.stringify(seen));
});

test("(c) adding a DENY never allows more, for requests and for connections", () => {
  let refusedBefore = 0;
  fc.assert(
    fc.property(policySet, arbitraryRequestPolicy, arbitraryRequest, (policies, extra, request) => {
      const deny: RequestPolicy = { ...extra, key: "z/extra" as RequestPolicy["key"], action: "deny" };
      for (const facts of [request, { ...request, http: undefined }]) {
        if (decide(policies, facts).kind === "allow") continue;
        refusedBefore++;
        assert.equal(decide([...policies, deny], facts).kind, "deny");
      }
    }),
    { numRuns: 3000 },
  );
  assert.ok(refusedBefore > 500, `${refusedBefore}`);
});

test("(d) adding what only observes, AUDIT or a dry run, changes no decision, and is noted exactly where it matches", () => {
  const seen = { noted: 0, not: 0 };
  fc.assert(
    fc.property(policySet, arbitraryRequestPolicy, arbitraryRequest, (policies, extra, request) => {
      const observer: RequestPolicy = { ...extra, key: "z/extra" as RequestPolicy["key"], action: "audit" };
      const asDeny: RequestPolicy = { ...observer, action: "deny", dryRun: false };
      for (const facts of [request, { ...request, http: undefined }]) {
        assert.deepEqual(decide([...policies, observer], facts), decide(policies, facts));
        const noted = observeRequest(compileRequestPolicies([observer]).setOf([observer.key]), facts);
        assert.equal(noted.length > 0, decide([asDeny], facts).kind === "deny");
        seen[noted.length > 0 ? "noted" : "not"]++;
      }
    }),
    { numRuns: 3000 },
  );
  assert.ok(seen.noted > 500 && seen.not > 500, JSON.stringify(seen));
});

test("the order of policies never matters to the verdict", () => {
  fc.assert(
    fc.property(policySet, arbitraryRequest, (policies, request) => {
      const once = distinct(policies);
      assert.equal(decide(once.toReversed(), request).kind, decide(once, request).kind);
    }),
    { numRuns: 1000 },
  );
});

test("the policy and rule that are said to decide do match, and every decision has words", () => {
  let named = 0;
  fc.assert(
    fc.property(policySet, arbitraryRequest, (policies, request) => {
      const decision = decide(policies, request);
      assert.ok(explainDecision(decision).length > 10);
      if (!("rule" in decision)) return;
      named++;
      const policy = distinct(policies).find(({ key }) => key === decision.policy);
      const rule = policy?.rules[decision.rule];
      assert.ok(policy !== undefined && rule !== undefined);
      assert.ok(naiveRule(rule, request as Facts, policy.action === "deny"));
    }),
    { numRuns: 4000 },
  );
  assert.ok(named > 300, `${named}`);
});
