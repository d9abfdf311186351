/**
 * The order of `binding-machine.ts`, shown on every interleaving of a small mesh: no legitimate caller is refused, no older
 * connection is cut, and nothing forbidden reaches the application. Each order that is known to be wrong breaks it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { explore, type ModelOptions, RIGHT } from "../../test/binding-model.ts";
import { pushesOf, STAGES, type Stage } from "./binding.ts";
import type { BindingFacts } from "./binding-machine.ts";

test("a policy that is made, changed, deleted and made again, at any moment", () => {
  const { violation, stages, states } = explore(RIGHT);
  assert.equal(violation, undefined);
  for (const stage of STAGES) assert.ok(stages.has(stage), `${stage} was never reached`);
  assert.ok(states > 1_000, `only ${states} states`);
});

test("a second policy for other pods behind the same service, while the first is enforced, changes or goes", () => {
  const grown: ModelOptions = { ...RIGHT, covers: [[0], [1]], changes: [1, 2], enforced: [0] };
  const { violation, states } = explore(grown);
  assert.equal(violation, undefined);
  assert.ok(states > 1_000, `only ${states} states`);
});

test("a second policy for the same pods, while the first comes and goes", () => {
  const both: ModelOptions = { ...RIGHT, covers: [[0, 1], [0]], changes: [2, 1], enforced: [] };
  assert.equal(explore(both).violation, undefined);
});

const HELD: ModelOptions = { ...RIGHT, immediately: true };

test("immediately: from the first push that a destination acts by nothing forbidden arrives, and callers of told sources wait instead of failing", () => {
  const { violation, stages, states } = explore(HELD);
  assert.equal(violation, undefined);
  for (const stage of ["denying", "enforced", "releasing", "lifting", "unbinding", "resting"])
    assert.ok(stages.has(stage), `${stage} was never reached`);
  for (const stage of ["starting", "exempting", "binding", "draining"])
    assert.ok(!stages.has(stage), `${stage} lets callers through`);
  assert.ok(states > 1_000, `only ${states} states`);
});

test("immediately, beside a policy that is enforced, for other pods and for the same", () => {
  const grown: ModelOptions = { ...HELD, covers: [[0], [1]], changes: [0, 2], enforced: [0] };
  assert.equal(explore(grown).violation, undefined);
  const both: ModelOptions = { ...HELD, covers: [[0, 1], [0]], changes: [1, 1], enforced: [] };
  assert.equal(explore(both).violation, undefined);
});

test("wrong: immediately, with the DENY behind the exemptions and the binding", () => {
  const late: ModelOptions = {
    ...HELD,
    pushes: (stage) => (stage === "denying" ? pushesOf("draining") : pushesOf(stage)),
  };
  assert.match(explore(late).violation ?? "nothing happened", /forbidden request reached|refused/);
});

test("wrong: immediately, with the DENY before the exemptions", () => {
  const bare: ModelOptions = { ...HELD, pushes: (stage) => ({ ...pushesOf(stage), exempts: false }) };
  assert.match(explore(bare).violation ?? "nothing happened", /legitimate caller was refused/);
});

/** Pretends that some acknowledgements are there. */
function pretends(at: Stage, pretended: Partial<BindingFacts>): Partial<ModelOptions> {
  return { told: (stage, facts) => (stage === at ? { ...facts, ...pretended } : facts) };
}

interface WrongOrder {
  readonly name: string;
  readonly wrong: Partial<ModelOptions>;
  readonly breaks: RegExp;
}

const WRONG: readonly WrongOrder[] = [
  {
    name: "no exemptions before the binding",
    wrong: { pushes: (stage) => ({ ...pushesOf(stage), exempts: false }) },
    breaks: /legitimate caller was refused/,
  },
  {
    name: "exemptions that not every destination has acknowledged",
    wrong: pretends("exempting", { destinationsBehind: [] }),
    breaks: /legitimate caller was refused/,
  },
  {
    name: "DENY before all sources are bound",
    wrong: pretends("binding", { sourcesBehind: [] }),
    breaks: /older connection of a legitimate caller was cut|legitimate caller was refused/,
  },
  {
    name: "DENY before older connections have ended",
    wrong: { drains: false },
    breaks: /older connection of a legitimate caller was cut/,
  },
  {
    name: "binding before the waypoint has acknowledged",
    wrong: {
      told: (stage, facts) =>
        stage === "starting" || stage === "exempting"
          ? { ...facts, readyWaypoints: 1, waypointsBehind: [] }
          : facts,
    },
    breaks: /legitimate caller was refused/,
  },
  {
    name: "a waypoint that is ready without all policies",
    wrong: { waypointHasAll: false },
    breaks: /barred request reached/,
  },
  {
    name: "Enforced before every destination has the DENY",
    wrong: { ...pretends("denying", { destinationsBehind: [] }), claimsWhenAcknowledged: false },
    breaks: /forbidden request reached/,
  },
  {
    name: "DENY lifted before the older policies are back",
    wrong: { keepsL4: (stage) => !["denying", "enforced", "releasing", "lifting"].includes(stage) },
    breaks: /barred request reached/,
  },
  {
    name: "the policy's L4 form from its creation on",
    wrong: { pushes: (stage) => ({ ...pushesOf(stage), hasL4Form: true }) },
    breaks: /legitimate caller was refused|cut/,
  },
  {
    name: "unbinding before the DENY is lifted",
    wrong: {
      pushes: (stage) => (stage === "lifting" ? { ...pushesOf("releasing"), binds: false } : pushesOf(stage)),
    },
    breaks: /legitimate caller was refused|cut/,
  },
  {
    name: "unbinding while a destination has not acknowledged that the DENY is lifted",
    wrong: pretends("lifting", { destinationsBehind: [] }),
    breaks: /legitimate caller was refused|cut/,
  },
  {
    name: "a waypoint that goes before all sources are unbound",
    wrong: pretends("unbinding", { sourcesBehind: [] }),
    breaks: /legitimate caller was refused/,
  },
];

for (const { name, wrong, breaks } of WRONG) {
  test(`wrong: ${name}`, () => {
    const { violation } = explore({ ...RIGHT, ...wrong });
    assert.match(violation ?? "nothing happened", breaks);
  });
}
