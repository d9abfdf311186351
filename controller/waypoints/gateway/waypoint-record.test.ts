/** The record on a Gateway: what is written is what is read, and nothing else is read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { PolicyKey } from "#core/model/ids.ts";
import type { Attachment } from "../takeover/attachment.ts";
import { type Binding, type BindingScope, STAGES } from "../binding/binding.ts";
import { formatRecord, parseRecord, recordHasRoom, type WaypointRecord } from "./waypoint-record.ts";

const name = fc.stringMatching(/^[a-z0-9.-]{1,20}$/);
const scope: fc.Arbitrary<BindingScope> = fc.oneof(
  fc.record({
    kind: fc.constant("workloads" as const),
    // The schema of policies takes more than a pod's labels can be.
    labels: fc.dictionary(
      fc.string({ minLength: 1, maxLength: 20 }).filter((key) => key !== "__proto__"),
      fc.string({ maxLength: 63 }),
    ),
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
const attachment: fc.Arbitrary<Attachment> = fc.record({
  carrier: fc.constantFrom("namespace shop", "pods a-b", "service shop/cata.log"),
  stage: fc.constantFrom(...STAGES),
  sinceMs: fc.integer({ min: 0, max: 4e12 }),
});
const record: fc.Arbitrary<WaypointRecord> = fc.record(
  {
    deploymentUid: fc.uuid(),
    bindings: fc.array(binding, { maxLength: 5 }),
    attached: fc.array(attachment, { minLength: 1, maxLength: 3 }),
  },
  { requiredKeys: ["deploymentUid", "bindings"] },
);

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

test("an attachment is read, and is no longer when anything of it is wrong", () => {
  const since = "2026-01-01T00:00:00.000Z";
  const good = { carrier: "service shop/catalog", stage: "enforced", since };
  const read = (...attached: readonly object[]): boolean =>
    parseRecord(JSON.stringify({ form: 1, bindings: [], attached })).ok;
  assert.ok(read(good));
  for (const carrier of [
    "",
    "shop",
    "namespace",
    "namespace a/b",
    "service shop",
    "pods shop/x",
    "namespace A",
  ])
    assert.ok(!read(good, { ...good, carrier }), carrier);
  assert.ok(!read({ ...good, stage: "done" }));
  assert.ok(!read({ ...good, since: "soon" }));
  assert.ok(!read(...Array.from({ length: 501 }, () => good)));
});

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
    ["a label that is no text", one({ labels: { a: 1 } })],
    ["too many", JSON.stringify({ form: 1, bindings: Array.from({ length: 501 }, () => usual) })],
    ["too long", `${" ".repeat(200_001)}{"form":1}`],
  ];
  for (const [what, text] of wrong) assert.equal(parseRecord(text).ok, false, what);
});

test("whatever there is room for is read again, and there is an end to it", () => {
  const scopes: readonly BindingScope[] = [
    { kind: "workloads", labels: { ["k".repeat(300)]: "v".repeat(63) } },
    { kind: "workloads", labels: {} },
    { kind: "services", names: Array.from({ length: 16 }, (_, i) => `${"s".repeat(60)}${i}`) },
  ];
  for (const of of scopes) {
    const bindings: Binding[] = [];
    while (recordHasRoom(bindings, { scope: of })) {
      const policy = `${"n".repeat(63)}/${"p".repeat(253)}` as PolicyKey;
      bindings.push({ policy, field: "f".repeat(300), scope: of, stage: "releasing", sinceMs: 4e12 });
    }
    assert.ok(bindings.length > 100 && bindings.length <= 500, String(bindings.length));
    assert.ok(parseRecord(formatRecord({ deploymentUid: "u".repeat(36), bindings })).ok);
  }
  assert.equal(
    recordHasRoom([], { scope: { kind: "workloads", labels: { a: "v".repeat(200_000) } } }),
    false,
  );
  assert.equal(recordHasRoom([], { scope: { kind: "services", names: [] } }), false);
});
