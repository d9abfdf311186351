/** However late anything is: no destination acts by less than what the mesh counts on, and no source is passed over that is there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ReplicaModel } from "./replica-model.ts";
import { ALL_SAFEGUARDS, type Safeguards } from "./replica-model-parts.ts";

const choices = fc.array(fc.nat(383), { minLength: 150, maxLength: 400 });

function run(list: readonly number[], safeguards: Safeguards): ReplicaModel {
  const model = new ReplicaModel(safeguards);
  for (const choice of list) {
    model.act(choice);
    if (model.violation !== undefined) break;
  }
  return model;
}

test("with every safeguard nothing is violated, and stages are reached", (t) => {
  let stages = 0;
  let runs = 0;
  fc.assert(
    fc.property(choices, (list) => {
      const model = run(list, ALL_SAFEGUARDS);
      assert.equal(model.violation, undefined);
      stages += model.stage;
      runs++;
    }),
    { numRuns: 3_000 },
  );
  t.diagnostic(`${runs} histories, ${stages} stages`);
  assert.ok(stages > runs, "otherwise this proves nothing");
});

for (const name of Object.keys(ALL_SAFEGUARDS) as (keyof Safeguards)[])
  test(`without it the model finds a violation: ${name}`, () => {
    const result = fc.check(
      fc.property(choices, (list) => run(list, { ...ALL_SAFEGUARDS, [name]: false }).violation === undefined),
      { numRuns: 20_000, endOnFailure: true },
    );
    assert.ok(result.failed);
  });
