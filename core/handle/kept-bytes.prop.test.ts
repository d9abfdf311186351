import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { KeptBytes } from "./kept-bytes.ts";

/** Sizes around the block's. */
const size = fc.oneof(fc.nat(40), fc.integer({ min: 16_380, max: 16_390 }), fc.nat(70_000));
const step = fc.oneof(
  fc.record({ kind: fc.constant("append" as const), size }),
  fc.record({ kind: fc.constant("take" as const), size }),
  fc.record({ kind: fc.constant("clear" as const), size }),
);

test("what is kept comes out in order and once, however it is cut", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const kept = new KeptBytes();
      let model = Buffer.alloc(0);
      let next = 0;
      for (const { kind, size: byteCount } of steps) {
        if (kind === "append") {
          const bytes = Buffer.from(Array.from({ length: byteCount }, () => next++ % 251));
          kept.append(bytes);
          model = Buffer.concat([model, bytes]);
        } else if (kind === "take") {
          const view = kept.peek();
          const taken = view.subarray(0, Math.max(1, Math.min(view.length, byteCount)));
          assert.ok(model.subarray(0, taken.length).equals(taken));
          model = model.subarray(taken.length);
          if (taken.length > 0) kept.drop(taken.length);
        } else {
          kept.clear();
          model = Buffer.alloc(0);
        }
        assert.equal(kept.length, model.length);
        assert.equal(kept.peek().length > 0, model.length > 0);
      }
    }),
    { numRuns: 100 },
  );
});
