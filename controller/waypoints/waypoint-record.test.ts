/** The record on a Gateway: what is written is what is read, and nothing else is read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { PolicyKey } from "#core/model/ids.ts";
import { type Binding, type BindingScope, STAGES } from "./binding.ts";
import { formatRecord, parseRecord, type WaypointRecord } from "./waypoint-record.ts";

const name = fc.stringMatching(/^[a-z0-9.-]{1,20}$/);
const scope: fc.Arbitrary<BindingScope> = fc.oneof(
  fc.record({
    kind: fc.constant("workloads" as const),
    labels: fc.dictionary(fc.stringMatching(/^[a-z./-]{1,20}$/), fc.stringMatching(/^[A-Za-z0-9._-]{0,20}$/)),
  }),
  fc.record({
    kind: fc.constant("services" as const),
    names: fc.array(name, { minLength: 1, maxLength: 3 }),
  }),
);
const binding: fc.Arbitrary<Binding> = fc.record({
  policy: fc.tuple(name, name).map(([a, b]) => `${a}/${b}` as PolicyKey),
  field: fc.string({ maxLength: 60 }),
  scope,
  stage: fc.constantFrom(...STAGES),
  sinceMs: fc.integer({ min: 0, max: 4e12 }),
});
const record: fc.Arbitrary<WaypointRecord> = fc.record({
  deploymentUid: fc.uuid(),
  bindings: fc.array(binding, { maxLength: 5 }),
});

test("what is written is read again", () => {
  fc.assert(
    fc.property(record, (value) => {
      const read = parseRecord(formatRecord(value));
      assert.ok(read.ok);
      assert.deepEqual(structuredClone(read.value), structuredClone(value));
    }),
  );
});

test("nothing that is thrown at it makes it throw", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => typeof parseRecord(text).ok === "boolean"),
  );
});

const usual = { policy: "a/b", field: "f", labels: {}, stage: "enforced", since: "2026-01-01T00:00:00.000Z" };
const one = (change: object): string => JSON.stringify({ form: 1, bindings: [{ ...usual, ...change }] });

test("the usual one is read, and is no longer when anything of it is wrong", () => {
  assert.ok(parseRecord(one({})).ok);
  const wrong: readonly (readonly [string, string])[] = [
    ["not JSON", "{"],
    ["no form", "{}"],
    ["another form", '{"form":2}'],
    ["a stage that does not exist", one({ stage: "done" })],
    ["a stage of Object", one({ stage: "constructor" })],
    ["a policy without namespace", one({ policy: "b" })],
    ["a policy that is no name", one({ policy: "a/B b" })],
    ["no time", one({ since: "soon" })],
    ["no scope", one({ labels: undefined })],
    ["two scopes", one({ services: ["a"] })],
    ["no service", one({ labels: undefined, services: [] })],
    ["a service that is no name", one({ labels: undefined, services: ["A b"] })],
    ["a label that is none", one({ labels: { "a b": "c" } })],
    ["too many", JSON.stringify({ form: 1, bindings: Array.from({ length: 501 }, () => usual) })],
    ["too long", `${" ".repeat(200_001)}{"form":1}`],
  ];
  for (const [what, text] of wrong) assert.equal(parseRecord(text).ok, false, what);
});
