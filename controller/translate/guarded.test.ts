/** The condition by which the next controller learns what is closed: what is written is what is read, and what cannot be read closes the more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Guard, guardedCondition, guardOf, guards } from "./guarded.ts";

const read = (...conditions: readonly object[]): Guard =>
  guardOf({ conditions, metadata: { generation: 3 } as never });

test("what is written is read: every namespace that is named, and no other", () => {
  const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/);
  fc.assert(
    fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 20 }), name, (names, other) => {
      const condition = guardedCondition({ kind: "namespaces", names }, 3);
      assert.ok(condition !== undefined);
      const guard = read(condition);
      assert.ok(names.every((one) => guards(guard, one)));
      assert.equal(guards(guard, other), names.includes(other));
    }),
  );
});

test("more namespaces than are listed count as every one; the message stays short", () => {
  const names = Array.from({ length: 201 }, (_, i) => `n${i}`.padEnd(63, "x"));
  const condition = guardedCondition({ kind: "namespaces", names }, 1);
  assert.ok(condition !== undefined && condition.message.length < 32_768);
  assert.ok(guards(read(condition), "any"));
});

test("nothing closed is no condition; a version before is one about every namespace", () => {
  assert.equal(guardedCondition({ kind: "none" }, 1), undefined);
  assert.equal(guardedCondition({ kind: "namespaces", names: [] }, 1), undefined);
  const former = guardedCondition({ kind: "everywhere" }, 1);
  assert.ok(former !== undefined && guards(read(former), "any"));
});

test("an older version that ztunnels had guards everywhere, until the status is about this one", () => {
  const theirs = { type: "ZtunnelAccepted", status: "True" };
  assert.equal(read({ ...theirs, observedGeneration: 2 }).kind, "everywhere");
  assert.equal(read(theirs).kind, "everywhere");
  assert.equal(read({ ...theirs, observedGeneration: 3 }).kind, "none");
  assert.equal(read({ ...theirs, status: "False", observedGeneration: 2 }).kind, "none");
  assert.equal(read({ type: "Guarded", status: "False", message: "" }).kind, "none");
});

test("whatever a status holds is read without throwing", () => {
  const kinds = ["none", "everywhere", "namespaces"];
  fc.assert(
    fc.property(fc.array(fc.anything()), (found) => kinds.includes(read(...(found as object[])).kind)),
  );
});
