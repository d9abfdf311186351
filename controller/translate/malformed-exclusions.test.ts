/** An exclusion that cannot be read must not vanish: an ALLOW rule would then allow what it was to keep out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { translateRule } from "./authorization-rule.ts";
import { Report } from "./policy-report.ts";

interface Outcome {
  readonly rule: string;
  readonly problems: readonly string[];
}

function translated(action: "allow" | "deny", raw: unknown): Outcome {
  const metadata = {
    name: "p",
    namespace: "shop",
    uid: "u",
    resourceVersion: "1",
    generation: 1,
    creationMs: 0,
    deletionMs: undefined,
    labels: {},
    annotations: {},
  };
  const report = new Report("AuthorizationPolicy", { metadata, spec: {} } as never);
  const rule = translateRule(raw, "spec.rules[0]", { action, namespace: "shop", report });
  return {
    rule: JSON.stringify(rule),
    problems: report.problems.map(({ path, message }) => `${path} ${message}`),
  };
}

const X = { principals: ["cluster.local/ns/shop/sa/web"] };
const malformed: readonly (readonly [string, object])[] = [
  ["an address", { from: [{ source: { ...X, notIpBlocks: ["10.0.0.300"] } }] }],
  ["one address of two", { from: [{ source: { ...X, notIpBlocks: ["10.0.0.1", "10.0.0.0/33"] } }] }],
  ["a port", { from: [{ source: X }], to: [{ operation: { ports: ["80"], notPorts: ["http"] } }] }],
  ["a principal", { from: [{ source: { namespaces: ["shop"], notPrincipals: [""] } }] }],
  [
    "a condition's value",
    {
      from: [{ source: X }],
      when: [{ key: "source.ip", values: ["10.0.0.0/8"], notValues: ["10.0.0.300"] }],
    },
  ],
  [
    "a condition's only value",
    { from: [{ source: X }], when: [{ key: "destination.port", notValues: ["http"] }] },
  ],
];

for (const [what, rule] of malformed) {
  test(`an ALLOW rule whose exclusion of ${what} cannot be read allows nothing, and that is said`, () => {
    const outcome = translated("allow", rule);
    assert.equal(outcome.rule, undefined);
    assert.match(outcome.problems.join("\n"), /malformed.*the rule allows nothing/);
  });

  test(`a DENY rule whose exclusion of ${what} cannot be read denies all the more`, () => {
    const outcome = translated("deny", rule);
    assert.notEqual(outcome.rule, undefined);
    assert.match(outcome.problems.join("\n"), /malformed/);
  });
}

test("an exclusion that can be read stays", () => {
  const outcome = translated("allow", { from: [{ source: { ...X, notIpBlocks: ["10.0.0.0/8"] } }] });
  assert.match(outcome.rule, /"none":\[\{/);
  assert.deepEqual(outcome.problems, []);
});
