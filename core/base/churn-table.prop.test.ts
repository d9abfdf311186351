import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { ChurnTable } from "./churn-table.ts";

it("behaves as a Map does under any sequence of changes", () => {
  const key = fc.integer({ min: 1, max: 60 }).map((n) => n * 2 - 1);
  const step = fc.oneof(
    fc.tuple(fc.constant("set" as const), key),
    fc.tuple(fc.constant("delete" as const), key),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const table = new ChurnTable<string>();
      const model = new Map<number, string>();
      for (const [index, [what, at]] of steps.entries()) {
        if (what === "set") {
          table.set(at, `v${index}`);
          model.set(at, `v${index}`);
        } else {
          assert.equal(table.delete(at), model.delete(at));
        }
        assert.equal(table.size, model.size);
        assert.equal(table.get(at), model.get(at));
      }
      assert.deepEqual(table.values().toSorted(), [...model.values()].toSorted());
    }),
  );
});
