/** However late anything is: no destination acts by less than what the mesh counts on, and no source is passed over that is there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ReplicaModel } from "./replica-model.ts";
import { ALL_SAFEGUARDS, type Safeguards } from "./replica-model-parts.ts";

const choices = fc.array(fc.nat(383), { minLength: 150, maxLength: 300 });

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
    { numRuns: 1_000 },
  );
  t.diagnostic(`${runs} histories, ${stages} stages`);
  assert.ok(stages > runs / 2, "otherwise this proves nothing");
});

/** With a seed that finds it soon. Others stand in for each other: only without both of some there is a violation. */
const LEFT_OUT: readonly (readonly [keyof Safeguards, keyof Safeguards, number])[] = [
  ["fences", "fences", 3],
  ["rereads", "rereads", 21],
  ["beginsWithLease", "beginsWithLease", 2],
  ["agrees", "remembersLeft", 56],
];

for (const [one, other, seed] of LEFT_OUT)
  test(`the model finds a violation without ${one === other ? one : `${one} and ${other}`}`, () => {
    const safeguards = { ...ALL_SAFEGUARDS, [one]: false, [other]: false };
    const isGood = fc.property(choices, (list) => run(list, safeguards).violation === undefined);
    assert.ok(fc.check(isGood, { numRuns: 100, seed, endOnFailure: true }).failed);
  });
