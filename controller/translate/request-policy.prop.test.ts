/**
 * A waypoint and ztunnels read one policy: for connections they decide the same; and for requests too, as long as it speaks of connections alone,
 * malformed and misspelt policies included.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { evaluate } from "#core/authz/evaluate.ts";
import { evaluateRequest } from "#core/authz/request/evaluate-request.ts";
import { compileRequestPolicies } from "#core/authz/request/policy-sets.ts";
import { peerFacts, type RequestFacts } from "#core/authz/request/request-facts.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { ip } from "#core/net/ip.ts";
import { record } from "#core/testing/arbitraries.ts";
import { aPolicyObject } from "../test/a-policy.ts";
import { testMeshConfig } from "../test/builders.ts";
import { translateAuthorizationPolicy } from "./authorization-policy.ts";
import { l7Fields } from "./l7-fields.ts";
import { translateRequestPolicy } from "./request-policy.ts";

type Texts = Readonly<Record<string, readonly string[]>>;
/** Whether what admission refuses or prunes may be in it. */
type Form = "any" | "well-formed";

const MALFORMED: ReadonlySet<string> = new Set(["", "10.0.0.300", "http", "a/b/c", "nowhere"]);
const WITHOUT_EFFECT: ReadonlySet<string> = new Set(["trustDomains", "unknown", "connection.sni"]);

/** Few of them, so that rules match at times. */
function fields(values: Texts, form: Form): fc.Arbitrary<object> {
  const known = Object.entries(values).filter(([name]) => form === "any" || !WITHOUT_EFFECT.has(name));
  const pairs = known.map(([name, texts]) => {
    const usable = texts.filter((text) => form === "any" || !MALFORMED.has(text));
    const list = fc.array(fc.constantFrom(...usable), { minLength: form === "any" ? 0 : 1, maxLength: 2 });
    return list.map((some) => [name, some] as const);
  });
  const picked = fc.shuffledSubarray(pairs, { minLength: form === "any" ? 0 : 1, maxLength: 2 });
  return picked.chain((some) => fc.tuple(...some)).map((some) => Object.fromEntries(some));
}

const PRINCIPALS = ["cluster.local/ns/shop/sa/web", "cluster.local/*", "*/sa/web", "*", "*/sa/db", ""];
const BLOCKS = ["10.0.0.0/8", "10.0.1.5", "10.0.1.0/24", "192.168.0.0/16", "10.0.0.300"];
const PORTS = ["80", "8080", "http"];
const SOURCE: Texts = {
  principals: PRINCIPALS,
  notPrincipals: PRINCIPALS,
  namespaces: ["shop", "s*", "other", ""],
  notNamespaces: ["shop", "other"],
  serviceAccounts: ["web", "shop/web", "other/web", "a/b/c"],
  notServiceAccounts: ["web", "shop/db"],
  ipBlocks: BLOCKS,
  notIpBlocks: BLOCKS,
  trustDomains: ["x"],
  unknown: ["x"],
};
const L4_OPERATION: Texts = { ports: PORTS, notPorts: PORTS };
const OPERATION: Texts = {
  ...L4_OPERATION,
  methods: ["GET", "*"],
  notMethods: ["PUT"],
  paths: ["/a", "/{*}"],
  notPaths: ["/a*"],
  hosts: ["shop.test"],
  unknown: ["x"],
};
const L4_KEYS: Texts = {
  "source.ip": BLOCKS,
  "source.namespace": ["shop", "other", ""],
  "source.principal": PRINCIPALS,
  "destination.ip": ["10.0.2.9", "10.0.0.0/8", "nowhere"],
  "destination.port": PORTS,
  "connection.sni": ["x"],
};
const KEYS: Texts = { ...L4_KEYS, "request.headers[x-user]": ["a", "*"] };

function condition(keys: Texts, form: Form): fc.Arbitrary<object> {
  const known = Object.entries(keys).filter(([key]) => form === "any" || !WITHOUT_EFFECT.has(key));
  return fc
    .constantFrom(...known)
    .chain(([key, texts]) =>
      fields({ values: texts, notValues: texts, unknown: ["x"] }, form).map((lists) => ({ key, ...lists })),
    );
}

function spec(to: Texts, when: Texts, form: Form): fc.Arbitrary<object> {
  const some = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(item, { maxLength: 2 });
  const rule = record({
    from: some(fields(SOURCE, form).map((source) => ({ source }))),
    to: some(fields(to, form).map((operation) => ({ operation }))),
    when: some(condition(when, form)),
  });
  const misspelt = fc.constant({ form: [{}] });
  const rules = form === "any" ? fc.oneof({ arbitrary: rule, weight: 9 }, misspelt) : rule;
  return record({
    action: fc.constantFrom("ALLOW", "DENY"),
    rules: fc.array(rules as fc.Arbitrary<object>, { maxLength: 2 }),
  });
}

const request: fc.Arbitrary<RequestFacts> = fc
  .tuple(
    fc.constantFrom("web", "db", undefined),
    fc.constantFrom("10.0.1.5", "192.168.1.1"),
    fc.constantFrom(80, 8080),
    fc.constantFrom("/a", "/b"),
  )
  .map(([account, address, port, path]) => {
    const id =
      account === undefined
        ? undefined
        : spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: account });
    return {
      peer: peerFacts(id, ip(address)),
      destination: { ip: ip("10.0.2.9"), port },
      http: { method: "GET", path, authority: "shop.test", fields: [] },
    };
  });

function bySpec(specs: readonly object[], facts: RequestFacts): { ztunnel: unknown; waypoint: unknown } {
  const objects = specs.map((each, i) => aPolicyObject(each, { name: `p${i}` }));
  const l4 = objects.flatMap(
    (object) => translateAuthorizationPolicy(object, testMeshConfig).authorization ?? [],
  );
  const l7 = objects.flatMap((object) => translateRequestPolicy(object, testMeshConfig).policy ?? []);
  const { peer, destination } = facts;
  const connection = { source: { ip: peer.ip, port: 1 }, destination, sourceIdentity: peer.identity };
  const set = compileRequestPolicies(l7).setOf(l7.map(({ key }) => key));
  return { ztunnel: verdict(evaluate(l4, connection)), waypoint: verdict(evaluateRequest(set, facts)) };
}

/** Without the nearest miss, which may be another among equals, and the rule: ztunnels count those that are left. */
function verdict(decision: ReturnType<typeof evaluate>): unknown {
  return { ...decision, nearest: undefined, rule: undefined };
}

const kindOf = (decision: unknown): "allow" | "deny" => (decision as { kind: "allow" | "deny" }).kind;

test("policies about connections alone: a waypoint decides requests and connections as ztunnels do", () => {
  const seen = { allow: 0, deny: 0 };
  fc.assert(
    fc.property(fc.array(spec(L4_OPERATION, L4_KEYS, "any"), { maxLength: 3 }), request, (specs, facts) => {
      for (const http of [facts.http, undefined]) {
        const { ztunnel, waypoint } = bySpec(specs, { ...facts, http });
        seen[kindOf(ztunnel)]++;
        assert.deepEqual(waypoint, ztunnel);
      }
      for (const each of specs) assert.deepEqual(l7Fields(aPolicyObject(each)), []);
    }),
    { numRuns: 4000 },
  );
  assert.ok(seen.allow > 500 && seen.deny > 500, JSON.stringify(seen));
});

/** Malformed entries beside conditions on requests are left out in another order here and there; admission refuses all of them. */
const wellFormed = spec(OPERATION, KEYS, "well-formed");

test("a policy that admission takes: a waypoint decides connections that are not HTTP as ztunnels do", () => {
  const seen = { allow: 0, deny: 0, http: 0 };
  fc.assert(
    fc.property(fc.array(wellFormed, { maxLength: 3 }), request, (specs, facts) => {
      const { ztunnel, waypoint } = bySpec(specs, { ...facts, http: undefined });
      seen[kindOf(ztunnel)]++;
      seen.http += specs.filter((each) => l7Fields(aPolicyObject(each)).length > 0).length;
      assert.equal(kindOf(waypoint), kindOf(ztunnel));
    }),
    { numRuns: 4000 },
  );
  assert.ok(seen.allow > 500 && seen.deny > 500 && seen.http > 1000, JSON.stringify(seen));
});

test("what translation cannot take over never lets anybody in whom the clean policy keeps out", () => {
  const clean = { rules: [{ to: [{ operation: { methods: ["GET"], paths: ["/a"] } }] }] };
  const spoiled = fc.constantFrom(
    { to: [{ operation: { methods: ["PUT"], paths: ["/a/{x}"] } }] },
    { to: [{ operation: { notPaths: ["/a/{x}"] } }] },
    { from: [{ source: { requestPrincipals: ["*"] } }] },
    { from: [{ source: { notRequestPrincipals: ["x"] } }] },
    { when: [{ key: "request.auth.principal", notValues: ["x"] }] },
    { when: [{ key: "request.headers[connection]", notValues: ["x"] }] },
    { fro: [] },
    { to: [{ operation: { paht: ["/"] } }] },
    { from: [{ source: {} }] },
    { from: [{}] },
    { when: [{ key: "source.namespace" }] },
  );
  fc.assert(
    fc.property(spoiled, request, (rule, facts) => {
      const allowed = bySpec([clean], facts).waypoint;
      const wider = bySpec([{ rules: [...clean.rules, rule] }], facts).waypoint;
      assert.equal(kindOf(wider), kindOf(allowed));
    }),
  );
});
