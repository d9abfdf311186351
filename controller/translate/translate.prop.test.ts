/** Whatever a user writes: translation reports, never throws, and what it cannot see never allows more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { evaluate } from "#core/authz/evaluate.ts";
import { projectCustom } from "#core/k8s/project.ts";
import type { Authorization } from "#core/model/authorization.ts";
import type { ConnectionFacts } from "#core/model/connection.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { ip } from "#core/net/ip.ts";
import { decodeAuthorization, encodeAuthorization } from "#core/wire/authorization-codec.ts";
import { testMeshConfig } from "../test/builders.ts";
import { translateAuthorizationPolicy } from "./authorization-policy.ts";
import { convertedPolicy, readPeerAuthentication } from "./peer-authentication.ts";

const KEYS = [
  "rules",
  "from",
  "to",
  "when",
  "source",
  "operation",
  "ports",
  "namespaces",
  "principals",
  "ipBlocks",
  "key",
  "values",
  "selector",
  "matchLabels",
  "action",
  "targetRef",
  "mtls",
  "mode",
  "portLevelMtls",
  "8080",
  "serviceAccounts",
  "methods",
];
const anything = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 6 },
    fc.jsonValue({ maxDepth: 1 }),
    fc.constantFrom("STRICT", "DENY", "*", "a/b", "80", "10.0.0.0/8", "source.ip"),
    fc.dictionary(fc.constantFrom(...KEYS), tie("value")),
    fc.array(tie("value"), { maxLength: 3 }),
  ),
})).value;
const object = (spec: unknown) => projectCustom({ metadata: { namespace: "ns", name: "p" }, spec });

test("any JSON as a policy is translated without throwing, into something that can be encoded", () => {
  fc.assert(
    fc.property(anything, (spec) => {
      const { authorization } = translateAuthorizationPolicy(object(spec), testMeshConfig);
      if (authorization !== undefined) assert.ok(decodeAuthorization(encodeAuthorization(authorization)).ok);
      const peer = readPeerAuthentication(object(spec), testMeshConfig);
      const converted = convertedPolicy(peer, true);
      if (converted !== undefined) assert.ok(decodeAuthorization(encodeAuthorization(converted)).ok);
    }),
    { numRuns: 5_000 },
  );
});

const namespaceName = fc.constantFrom("a", "b");
const l4Source = fc.record({ namespaces: fc.array(namespaceName, { minLength: 1, maxLength: 2 }) });
const l4Operation = fc.record({
  ports: fc.array(fc.constantFrom("80", "90"), { minLength: 1, maxLength: 2 }),
});
const beyondL4 = fc.constantFrom<Readonly<Record<string, readonly string[]>>>(
  {},
  {},
  { methods: ["GET"] },
  { paths: ["/"] },
  { notHosts: ["x"] },
);
const rule = fc.record({
  from: fc.array(
    l4Source.map((source) => ({ source })),
    { maxLength: 2 },
  ),
  to: fc.array(fc.tuple(l4Operation, beyondL4, fc.boolean()), { maxLength: 2 }),
});
type Rule = typeof rule extends fc.Arbitrary<infer R> ? R : never;

/** With the parts beyond L4, or with them taken away. An operation may consist of such parts alone. */
function write(rules: readonly Rule[], action: string, whole: boolean): Authorization {
  const spec = {
    action,
    rules: rules.map(({ from, to }) => ({
      from,
      to: to.map(([operation, extra, keepsL4]) => {
        const l4 = keepsL4 || Object.keys(extra).length === 0 ? operation : {};
        return { operation: whole ? { ...l4, ...extra } : l4 };
      }),
    })),
  };
  const { authorization } = translateAuthorizationPolicy(object(spec), testMeshConfig);
  if (authorization === undefined) throw new Error("not translated");
  return authorization;
}

const facts = fc
  .record({ namespace: fc.constantFrom("a", "b", "c"), port: fc.constantFrom(80, 90, 100) })
  .map(({ namespace, port }): ConnectionFacts => ({
    source: { ip: ip("10.0.0.1"), port: 1 },
    destination: { ip: ip("10.0.0.2"), port },
    sourceIdentity: spiffeId({ trustDomain: "cluster.local", namespace, serviceAccount: "sa" }),
  }));

test("conditions that L4 cannot see never let an ALLOW policy allow more, nor a DENY policy deny less", () => {
  let differences = 0;
  fc.assert(
    fc.property(fc.array(rule, { minLength: 1, maxLength: 3 }), facts, (rules, connection) => {
      const verdict = (action: string, whole: boolean): string =>
        evaluate([write(rules, action, whole)], connection).kind;
      const [with_, without] = [verdict("ALLOW", true), verdict("ALLOW", false)];
      if (with_ !== without) differences++;
      assert.ok(!(with_ === "allow" && without === "deny"), "ALLOW");
      assert.ok(!(verdict("DENY", true) === "allow" && verdict("DENY", false) === "deny"), "DENY");
    }),
    { numRuns: 5_000 },
  );
  assert.ok(differences > 50, `${differences} differences seen`);
});
