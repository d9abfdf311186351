/** What happens to a record when what is wanted changes: nothing that refuses callers goes before what replaces it does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyKey } from "#core/model/ids.ts";
import {
  type Binding,
  type BindingScope,
  bindingKey,
  pushesOf,
  type Stage,
  STAGES,
  type WantedBinding,
} from "./binding.ts";
import type { BindingFacts } from "./binding-machine.ts";
import { nextBindings } from "./next-record.ts";

const ALL_THERE: BindingFacts = {
  published: true,
  readyWaypoints: 1,
  waypointsBehind: [],
  destinationsBehind: [],
  sourcesBehind: [],
  sourcesMissing: [],
  watchedMs: 60_000,
};
const TIMES = { drainMs: 5_000, missingMs: 10_000, graceMs: 30_000 };
const NARROW: BindingScope = { kind: "workloads", labels: { app: "catalog" } };
const WIDE: BindingScope = { kind: "workloads", labels: {} };

const wish = (policy: string, scope: BindingScope): WantedBinding => ({
  policy: `shop/${policy}` as PolicyKey,
  field: "spec",
  scope,
});
const bound = (of: WantedBinding, stage: Stage): Binding => ({ ...of, stage, sinceMs: 0 });

/** Every record until nothing changes any more, a second apart. */
function history(
  first: readonly Binding[],
  wanted: readonly WantedBinding[],
  facts: BindingFacts = ALL_THERE,
): readonly (readonly Binding[])[] {
  const records = [first];
  for (let second = 1; second <= 200; second++) {
    const nowMs = second * 1_000;
    const { bindings } = nextBindings({ bindings: records.at(-1) ?? [], wanted, facts, nowMs, times: TIMES });
    records.push(bindings);
  }
  return records;
}

const isHeld = (bindings: readonly Binding[]): boolean =>
  bindings.some(({ stage }) => pushesOf(stage).denies);
const isBound = (bindings: readonly Binding[]): boolean =>
  bindings.some(({ stage }) => pushesOf(stage).binds);

interface Replacement {
  readonly name: string;
  readonly old: WantedBinding;
  readonly stage?: Stage;
  readonly wanted: WantedBinding;
}

const REPLACEMENTS: readonly Replacement[] = [
  { name: "a selector grows", old: wish("items", NARROW), wanted: wish("items", WIDE) },
  { name: "a selector shrinks", old: wish("items", WIDE), wanted: wish("items", NARROW) },
  {
    name: "a second service appears that targetRefs name",
    old: wish("items", { kind: "services", names: ["a"] }),
    wanted: wish("items", { kind: "services", names: ["a", "b"] }),
  },
  {
    name: "the policy is replaced by another one for the same pods",
    old: wish("items", NARROW),
    wanted: wish("new", NARROW),
  },
  { name: "it had begun to go", old: wish("items", NARROW), stage: "releasing", wanted: wish("items", WIDE) },
  {
    name: "it was about to be in force",
    old: wish("items", NARROW),
    stage: "denying",
    wanted: wish("items", WIDE),
  },
];

for (const { name, old, stage = "enforced", wanted } of REPLACEMENTS) {
  test(`pods stay closed while ${name}`, () => {
    const records = history([bound(old, stage)], [wanted]);
    for (const [second, bindings] of records.entries()) {
      const text = `${second} s: ${bindings.map((one) => `${bindingKey(one)} ${one.stage}`).join("; ")}`;
      assert.ok(isHeld(bindings) && isBound(bindings), text);
    }
    assert.deepEqual(
      records.at(-1)?.map((one) => `${bindingKey(one)} ${one.stage}`),
      [`${bindingKey(wanted)} enforced`],
      "and the old binding goes in the end",
    );
  });
}

test("what replaces it cannot come into force: the old binding stays", () => {
  const old = wish("items", NARROW);
  const records = history([bound(old, "enforced")], [wish("items", WIDE)], {
    ...ALL_THERE,
    readyWaypoints: 0,
  });
  assert.ok(records.every(isHeld));
});

test("a policy that goes does not wait for another one about other pods", () => {
  const records = history(
    [bound(wish("items", NARROW), "enforced")],
    [wish("other", { kind: "services", names: ["b"] })],
  );
  assert.equal(
    records.at(-1)?.some(({ policy }) => policy === "shop/items"),
    false,
  );
});

test("more policies than the record can keep leave those that are in it alone", () => {
  const many = Array.from({ length: 700 }, (_, i) => wish(`p${i}`, { kind: "services", names: [`s${i}`] }));
  const [first] = many;
  assert.ok(first !== undefined);
  const { bindings } = nextBindings({
    bindings: [bound(first, "enforced")],
    wanted: many,
    facts: ALL_THERE,
    nowMs: 1,
    times: TIMES,
  });
  assert.ok(bindings.length > 100 && bindings.length <= 500, String(bindings.length));
  assert.equal(bindings[0]?.stage, "enforced");
});

for (const stage of ["binding", "unbinding"] as const) {
  test(`${stage}: ztunnels that have not come back after a restart of the controller are waited for, however old the stage is`, () => {
    const one = wish("items", NARROW);
    const stageAfter = (watchedMs: number): Stage | undefined =>
      nextBindings({
        bindings: [bound(one, stage)],
        wanted: stage === "binding" ? [one] : [],
        facts: { ...ALL_THERE, sourcesMissing: ["node n1"], watchedMs },
        nowMs: 3_600_000,
        times: TIMES,
      }).bindings[0]?.stage;
    assert.equal(stageAfter(0), stage);
    assert.equal(stageAfter(9_999), stage);
    assert.equal(stageAfter(10_000), stage === "binding" ? "draining" : "resting", "but not for ever");
  });
}

test("a dry run is passed through the waypoint, and nobody is refused for it", () => {
  const one = { ...wish("items", NARROW), observes: true };
  const records = history([], [one]);
  assert.ok(!records.some(isHeld));
  assert.deepEqual(
    records.at(-1)?.map(({ stage }) => stage),
    ["draining"],
  );
  assert.ok(!("observes" in (records.at(-1)?.[0] ?? {})), "the policy says it, not the record");
});

test("what becomes a dry run refuses nobody any more, and the other way round", () => {
  const one = wish("items", NARROW);
  const dry = history([bound(one, "enforced")], [{ ...one, observes: true }]);
  assert.deepEqual(
    dry.at(-1)?.map(({ stage }) => stage),
    ["draining"],
  );
  const back = history(dry.at(-1) ?? [], [one]);
  assert.deepEqual(
    back.at(-1)?.map(({ stage }) => stage),
    ["enforced"],
  );
});

test("immediately: pods are closed from the first record on, and stay so until it is enforced", () => {
  const one = { ...wish("items", NARROW), immediately: true };
  const records = history([], [one]);
  assert.ok(records.slice(1).every((bindings) => isHeld(bindings) && isBound(bindings)));
  assert.deepEqual(
    [1, 2].map((second) => records[second]?.map(({ stage }) => stage)),
    [["denying"], ["enforced"]],
  );
  assert.ok(!("immediately" in (records.at(-1)?.[0] ?? {})), "the policy says it, not the record");
});

for (const stage of STAGES.filter((one) => !pushesOf(one).denies || one === "releasing")) {
  test(`immediately, asked in stage ${stage}: the next record closes the pods, whoever is behind`, () => {
    const one = wish("items", NARROW);
    const facts = { ...ALL_THERE, published: false, readyWaypoints: 0, destinationsBehind: ["node n1"] };
    const [, next] = history([bound(one, stage)], [{ ...one, immediately: true }], facts);
    assert.deepEqual(
      next?.map((binding) => binding.stage),
      ["denying"],
    );
  });
}
