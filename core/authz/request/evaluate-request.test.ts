/** What a set of request policies decides, and how it says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MatchList, StringMatch } from "../../model/authorization.ts";
import { type PolicyKey, policyKey } from "../../model/ids.ts";
import type { OperationMatch, RequestPolicy, RequestRule, SourceMatch } from "../../model/request-policy.ts";
import { spiffeId } from "../../model/spiffe-id.ts";
import { ip } from "../../net/ip.ts";
import type { Decision } from "../decision.ts";
import { decisionFields, explainDecision } from "../explain.ts";
import { evaluateRequest, evaluateUndeclaredHttp, observeRequest } from "./evaluate-request.ts";
import { compileRequestPolicies } from "./policy-sets.ts";
import { type HttpFacts, peerFacts, type RequestFacts } from "./request-facts.ts";

const NOTHING = { any: [], none: [] } as const;
const exact = (value: string): StringMatch => ({ kind: "exact", value });
const any = <T>(...values: T[]): MatchList<T> => ({ any: values, none: [] });
const none = <T>(...values: T[]): MatchList<T> => ({ any: [], none: values });

function to(given: Partial<OperationMatch>): RequestRule {
  const all = { hosts: NOTHING, methods: NOTHING, paths: NOTHING, ports: NOTHING };
  return { from: [], to: [{ ...all, ...given }], when: [] };
}

function from(given: Partial<SourceMatch>): RequestRule {
  const all = { principals: NOTHING, namespaces: NOTHING, serviceAccounts: NOTHING, sourceIps: NOTHING };
  return { from: [{ ...all, ...given }], to: [], when: [] };
}

function header(name: string, values: MatchList<StringMatch>): RequestRule {
  return { from: [], to: [], when: [{ kind: "header", name, values }] };
}

function policy(
  action: RequestPolicy["action"],
  rules: readonly RequestRule[],
  given: Partial<RequestPolicy> = {},
): RequestPolicy {
  return { key: policyKey("shop", action), action, dryRun: false, rules, ...given };
}

const FRONTEND = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "frontend" });

function request(http: Partial<HttpFacts> = {}, given: Partial<RequestFacts> = {}): RequestFacts {
  return {
    peer: peerFacts(FRONTEND, ip("10.0.1.5")),
    destination: { ip: ip("10.0.2.9"), port: 8080 },
    http: { method: "GET", path: "/items", authority: "shop.test", fields: [], ...http },
    ...given,
  };
}

function decide(policies: readonly RequestPolicy[], facts: RequestFacts): Decision {
  return evaluateRequest(compileRequestPolicies(policies).setOf(policies.map(({ key }) => key)), facts);
}

/** Whether one rule with this field lets the request through, as ALLOW and as DENY. */
function verdicts(rule: RequestRule, facts: RequestFacts): string {
  return (["allow", "deny"] as const).map((action) => decide([policy(action, [rule])], facts).kind).join();
}

const HIT = "allow,deny";
const MISS = "deny,allow";
/** Nobody gets in by it, and nobody gets past it. */
const REFUSED_BOTH_WAYS = "deny,deny";
/** The match excludes whom it names: written as an exception it must not open for look-alikes. */
const NAMES: readonly (readonly [string, string, StringMatch, string, string])[] = [
  // authority, pattern: positive, then negative
  ["the same", "shop.test", exact("shop.test"), HIT, MISS],
  ["case", "SHOP.Test", exact("shop.test"), HIT, MISS],
  ["case of the pattern", "shop.test", exact("Shop.TEST"), HIT, MISS],
  ["a port", "shop.test:8080", exact("shop.test"), REFUSED_BOTH_WAYS, "deny,deny"],
  ["a dot", "shop.test.", exact("shop.test"), REFUSED_BOTH_WAYS, "deny,deny"],
  ["a dot and a port", "shop.test.:80", exact("shop.test"), REFUSED_BOTH_WAYS, "deny,deny"],
  [
    "a dot, with the port in the pattern",
    "shop.test.:80",
    exact("shop.test:80"),
    REFUSED_BOTH_WAYS,
    "deny,deny",
  ],
  ["an address and its port", "[::1]:80", exact("[::1]"), REFUSED_BOTH_WAYS, "deny,deny"],
  ["an address without port", "[::1]", exact("[::1]"), HIT, MISS],
  ["an address spelt in another way", "[FD00:0::0001]", exact("[fd00::1]"), REFUSED_BOTH_WAYS, "deny,deny"],
  ["a pattern spelt in another way", "[fd00::1]", exact("[fd00:0::1]"), REFUSED_BOTH_WAYS, "deny,deny"],
  [
    "an address spelt in another way, and ports",
    "[fd00:0::1]:80",
    exact("[fd00::1]:80"),
    REFUSED_BOTH_WAYS,
    "deny,deny",
  ],
  ["an address of the other family", "[::ffff:a00:1]", exact("10.0.0.1"), REFUSED_BOTH_WAYS, "deny,deny"],
  ["another address", "[fd00::2]", exact("[fd00::1]"), MISS, HIT],
  ["colons of an address are no port", "[::1]", { kind: "suffix", value: ":" }, MISS, HIT],
  ["another host", "shop.test.evil", exact("shop.test"), MISS, HIT],
  ["a suffix", "a.shop.test", { kind: "suffix", value: ".shop.test" }, HIT, MISS],
  [
    "a suffix before a port",
    "a.shop.test:1",
    { kind: "suffix", value: ".shop.test" },
    REFUSED_BOTH_WAYS,
    "deny,deny",
  ],
  ["presence", "x", { kind: "presence" }, HIT, MISS],
];

for (const [name, authority, pattern, positive, negative] of NAMES) {
  test(`hosts compare from both sides: ${name}`, () => {
    const facts = request({ authority });
    assert.equal(verdicts(to({ hosts: any(pattern) }), facts), positive);
    assert.equal(verdicts(to({ hosts: none(pattern) }), facts), negative);
    assert.equal(verdicts(header("host", any(pattern)), facts), positive, "the header is the host");
    assert.equal(verdicts(header("host", none(pattern)), facts), negative, "the header is the host");
  });
}

/** As a head is read: each byte a character. */
function latin1(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

const FIELDS: readonly (readonly [string, readonly string[], StringMatch, string, string])[] = [
  ["absent", [], exact("bad"), MISS, HIT],
  ["absent, presence asked", [], { kind: "presence" }, MISS, HIT],
  ["one line", ["bad"], exact("bad"), HIT, MISS],
  ["another case", ["BAD"], exact("bad"), MISS, HIT],
  ["empty, presence asked", [""], { kind: "presence" }, HIT, MISS],
  ["bytes of UTF-8", [latin1("m\u00fcller")], exact("m\u00fcller"), HIT, MISS],
  ["the start, in UTF-8", [latin1("\u65e5\u672c")], { kind: "prefix", value: "\u65e5" }, HIT, MISS],
  ["bytes of Latin-1", ["m\u00fcller"], exact("m\u00fcller"), REFUSED_BOTH_WAYS, "deny,deny"],
  ["one line of two", ["good", "bad"], exact("bad"), REFUSED_BOTH_WAYS, "deny,deny"],
  ["two lines as one", ["good", "bad"], exact("good,bad"), HIT, MISS],
  ["the start of two lines", ["good", "bad"], { kind: "prefix", value: "good" }, HIT, MISS],
  [
    "the start of the second",
    ["good", "bad"],
    { kind: "prefix", value: "ba" },
    REFUSED_BOTH_WAYS,
    "deny,deny",
  ],
];

for (const [name, lines, pattern, positive, negative] of FIELDS) {
  test(`header fields compare from both sides: ${name}`, () => {
    const fields = [...lines.map((value) => ({ name: "x-user", value })), { name: "x-other", value: "bad" }];
    assert.equal(verdicts(header("x-user", any(pattern)), request({ fields })), positive);
    assert.equal(verdicts(header("x-user", none(pattern)), request({ fields })), negative);
  });
}

test("a policy that a set names and nobody has refuses everything, and says which", () => {
  const known = policy("allow", [to({})]);
  const compiled = compileRequestPolicies([known]);
  const set = compiled.setOf([known.key, "shop/gone" as PolicyKey]);
  for (const facts of [request(), request({}, { http: undefined })]) {
    const decision = evaluateRequest(set, facts);
    assert.deepEqual(decision, { kind: "deny", reason: "policy-missing", missing: ["shop/gone"] });
    assert.match(explainDecision(decision), /until its policies arrive: shop\/gone/);
  }
  assert.equal(evaluateUndeclaredHttp(set)?.kind, "deny");
  assert.deepEqual(observeRequest(set, request()), []);
});

test("no policy allows; an ALLOW without rules allows nobody; a DENY without rules denies nobody", () => {
  assert.deepEqual(decide([], request()), { kind: "allow", reason: "no-allow-policies" });
  assert.equal(decide([policy("deny", [])], request()).kind, "allow");
  assert.deepEqual(decide([policy("allow", [])], request()), {
    kind: "deny",
    reason: "no-allow-matched",
    nearest: undefined,
  });
});

test("a rule without conditions matches everything; an entry without any is no reason to allow, and one to deny", () => {
  const all: RequestRule = { from: [], to: [], when: [] };
  assert.equal(verdicts(all, request()), HIT);
  assert.equal(verdicts(to({}), request()), REFUSED_BOTH_WAYS);
  assert.equal(verdicts(from({}), request()), REFUSED_BOTH_WAYS);
});

test("DENY comes first, whatever allows", () => {
  const get = to({ methods: any(exact("GET")) });
  const decision = decide(
    [policy("allow", [get]), policy("deny", [to({ methods: any(exact("PUT")) }), get])],
    request(),
  );
  assert.deepEqual(decision, { kind: "deny", reason: "matched-deny", policy: "shop/deny", rule: 1 });
  assert.deepEqual(decisionFields(decision), { reason: "matched-deny", policy: "shop/deny", rule: 1 });
});

test("a dry run decides nothing, and is told", () => {
  const dry = policy("deny", [to({ methods: any(exact("GET")) })], {
    dryRun: true,
    key: policyKey("shop", "dry"),
  });
  const dryAllow = policy("allow", [], { dryRun: true, key: policyKey("shop", "dry-allow") });
  const set = compileRequestPolicies([dry, dryAllow]).setOf([dry.key, dryAllow.key]);
  assert.deepEqual(evaluateRequest(set, request()), { kind: "allow", reason: "no-allow-policies" });
  assert.deepEqual(observeRequest(set, request()), [
    { policy: "shop/dry", rule: 0, action: "deny", dryRun: true },
  ]);
  assert.deepEqual(observeRequest(set, request({ method: "PUT" })), []);
});

test("AUDIT decides nothing, and is told; it compares as what keeps out does", () => {
  const audit = policy("audit", [to({ methods: any(exact("PUT")) }), to({ hosts: any(exact("admin")) })]);
  const allow = policy("allow", [to({ methods: any(exact("POST")) })]);
  const noted = [{ policy: "shop/audit", rule: 1, action: "audit", dryRun: false }];
  const set = compileRequestPolicies([audit]).setOf([audit.key]);
  const facts = request({ authority: "ADMIN.:8080" });
  assert.deepEqual(evaluateRequest(set, facts), { kind: "allow", reason: "no-allow-policies" });
  assert.deepEqual(observeRequest(set, facts), noted);
  assert.deepEqual(observeRequest(set, request()), []);
  const both = compileRequestPolicies([audit, allow]).setOf([audit.key, allow.key]);
  assert.equal(evaluateRequest(both, facts).reason, "no-allow-matched");
  assert.deepEqual(observeRequest(both, facts), noted, "of what is refused too");
  assert.equal(evaluateUndeclaredHttp(set), undefined);
});

test("a denial names the rule that came closest, and in what it differs", () => {
  const far = to({ methods: any(exact("PUT")), paths: any(exact("/x")), hosts: any(exact("y")) });
  const near: RequestRule = {
    from: from({ namespaces: any(exact("shop")) }).from,
    to: [
      ...to({ methods: any(exact("GET")), paths: any(exact("/x")), ports: any(1) }).to,
      ...to({ methods: any(exact("POST")) }).to,
    ],
    when: header("x-user", any(exact("a"))).when,
  };
  const decision = decide([policy("allow", [far, near])], request());
  assert.deepEqual(decision, {
    kind: "deny",
    reason: "no-allow-matched",
    nearest: { policy: "shop/allow", rule: 1, failed: ["methods", "headers"] },
  });
  assert.match(
    explainDecision(decision),
    /nearest: shop\/allow \(rule 1\), which differs in method and header$/,
  );
});

test("who is nobody has no principal and no account; the address stays", () => {
  const nobody = request({}, { peer: peerFacts(undefined, ip("10.0.1.5")) });
  assert.equal(verdicts(from({ principals: any({ kind: "presence" }) }), nobody), MISS);
  assert.equal(verdicts(from({ principals: none({ kind: "presence" }) }), nobody), HIT);
  assert.equal(verdicts(from({ namespaces: any({ kind: "presence" }) }), nobody), MISS);
  const account = { namespace: "", serviceAccount: "" };
  assert.equal(verdicts(from({ serviceAccounts: any(account) }), nobody), MISS);
  assert.equal(
    verdicts(from({ sourceIps: any({ address: ip("10.0.1.0"), prefixLength: 24 }) }), nobody),
    HIT,
  );
});

test("connections: an ALLOW rule about HTTP allows nothing, a DENY rule keeps what is not HTTP", () => {
  const tcp = request({}, { http: undefined });
  const methods = any(exact("DELETE"));
  const mixed: RequestRule = { ...from({ namespaces: any(exact("shop")) }), to: to({ methods }).to };
  assert.equal(verdicts(mixed, tcp), REFUSED_BOTH_WAYS);
  assert.equal(verdicts(to({ methods: none(exact("GET")) }), tcp), MISS, "negative ones are about HTTP too");
  assert.equal(verdicts(to({ methods }), tcp), MISS);
  assert.equal(verdicts(to({ methods, ports: any(8080) }), tcp), REFUSED_BOTH_WAYS);
  assert.equal(verdicts(to({ methods, ports: any(1) }), tcp), MISS);
  const eitherPort: RequestRule = {
    from: [],
    to: [...to({ methods }).to, ...to({ ports: any(8080) }).to],
    when: [],
  };
  assert.equal(verdicts(eitherPort, tcp), REFUSED_BOTH_WAYS);
});

test("a rule keeps its number for connections", () => {
  const deny = policy("deny", [to({ methods: any(exact("GET")) }), to({ ports: any(8080) })]);
  const decision = decide([deny], request({}, { http: undefined }));
  assert.deepEqual(decision, { kind: "deny", reason: "matched-deny", policy: "shop/deny", rule: 1 });
});

test("a rule has the number that it has for people, where others before it were left out", () => {
  const third: RequestRule = { index: 2, ...to({ ports: any(8080) }) };
  for (const http of [request().http, undefined]) {
    const facts = request({}, { http });
    const allowed = decide([policy("allow", [third])], facts);
    assert.deepEqual(allowed, { kind: "allow", reason: "matched-allow", policy: "shop/allow", rule: 2 });
    const missed = decide([policy("allow", [{ index: 2, ...to({ ports: any(1) }) }])], facts);
    assert.ok(missed.reason === "no-allow-matched" && missed.nearest?.rule === 2);
  }
});

test("whoever speaks HTTP where it is not declared meets the DENY rules that speak of HTTP alone", () => {
  const get = to({ methods: any(exact("GET")) });
  const undeclared = (...policies: RequestPolicy[]) =>
    evaluateUndeclaredHttp(compileRequestPolicies(policies).setOf(policies.map(({ key }) => key)));
  assert.deepEqual(undeclared(policy("deny", [to({ ports: any(1) }), get])), {
    kind: "deny",
    reason: "matched-deny",
    policy: "shop/deny",
    rule: 1,
  });
  const either: RequestRule = { from: [], to: [...to({ ports: any(1) }).to, ...get.to], when: [] };
  assert.equal(undeclared(policy("deny", [either]))?.kind, "deny", "half of it is about HTTP alone");
  assert.equal(undeclared(policy("deny", [header("x-user", any(exact("a")))]))?.kind, "deny");
  assert.equal(undeclared(policy("deny", [get], { dryRun: true })), undefined);
  assert.equal(undeclared(policy("allow", [get])), undefined);
  assert.equal(undeclared(policy("deny", [to({ methods: any(exact("GET")), ports: any(1) })])), undefined);
});

test("the names of fields that policies read are told, so that nobody can imitate them", () => {
  const { fieldNames } = compileRequestPolicies([
    policy("allow", [header("x-user", any(exact("a"))), header("x-role", none(exact("b")))]),
    policy("deny", [header("x-user", any(exact("c")))]),
  ]);
  assert.deepEqual([...fieldNames].toSorted(), ["x-role", "x-user"]);
});

test("many values at once: each counts, of every kind", () => {
  const names = ["GET", "PUT", "POST", "HEAD", "LOCK"].map(exact);
  const methods = any<StringMatch>(
    ...names,
    { kind: "prefix", value: "PRO" },
    { kind: "suffix", value: "CH" },
  );
  for (const method of ["GET", "PUT", "POST", "HEAD", "LOCK", "PROPFIND", "PATCH"])
    assert.equal(verdicts(to({ methods }), request({ method })), HIT, method);
  for (const method of ["DELETE", "GETS", "UNLOCK", "PRI"])
    assert.equal(verdicts(to({ methods }), request({ method })), MISS, method);
});
