/**
 * Takeovers between waypoints on every interleaving of a small mesh: no forbidden request arrives, no legitimate caller is refused or waits for ever, no
 * older connection is cut, and the waypoint that was wished last is in force at the end. Orders that are known to be wrong break it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Waypoint } from "../../test/takeover-meaning.ts";
import {
  exploreTakeover,
  RIGHT_TAKEOVER,
  type TakeoverOptions,
  withPushes,
} from "../../test/takeover-model.ts";

const JOURNEYS: readonly (readonly Waypoint[])[] = [
  ["own", "auto"],
  ["own", "new"],
  ["own", "new", "auto"],
  ["own", "auto", "own"],
];

for (const labels of JOURNEYS) {
  test(`from the automatic one to ${labels.join(", to ")}, at any moment`, () => {
    const { states, violation, ends } = exploreTakeover({ ...RIGHT_TAKEOVER, labels });
    assert.equal(violation, undefined);
    const last = labels.at(-1);
    for (const end of ends) assert.ok(end.startsWith(`${last}: via ${last},`), end);
    assert.ok(ends.size > 0);
    assert.ok(states > 100, `only ${states} states`);
  });
}

interface WrongOrder {
  readonly name: string;
  readonly wrong: Partial<TakeoverOptions>;
  readonly breaks: RegExp;
}

const nobody = { wanted: new Set<string>(), held: new Set<string>(), succeeding: new Set<string>() };

const WRONG: readonly WrongOrder[] = [
  {
    name: "who is named last is in force at once, there or not",
    wrong: {
      meaning: withPushes(({ admits }, { label, stages }) => ({
        via:
          label === "auto" && !["binding", "draining", "denying", "enforced"].includes(stages.auto)
            ? "nowhere"
            : label,
        judges: [label],
        admits: label === "auto" ? admits : undefined,
      })),
    },
    breaks: /forbidden request arrived|legitimate caller was refused|cut/,
  },
  {
    name: "one that people made is let go of as soon as its label is gone",
    wrong: {
      labels: ["own", "auto"],
      meaning: withPushes(({ asked }, { label }) => ({
        asked: {
          ...asked,
          own: { ...asked.own, attachments: label === "own" ? asked.own.attachments : nobody },
        },
      })),
    },
    breaks: /forbidden request arrived/,
  },
  {
    name: "destinations that do not let the next one through",
    wrong: { meaning: withPushes(({ admits }) => ({ admits: admits && ["auto"] })) },
    breaks: /legitimate caller was refused|cut/,
  },
  {
    name: "callers that are sent to the next one before every destination lets it through",
    wrong: {
      told: (waypoint, facts) => (waypoint === "auto" ? facts : { ...facts, destinationsBehind: [] }),
    },
    breaks: /legitimate caller was refused/,
  },
  {
    name: "no time for connections through the one before",
    wrong: { drains: false },
    breaks: /older connection was cut/,
  },
  {
    name: "the automatic one refuses others before all callers have come over to it",
    wrong: {
      told: (waypoint, facts) => (waypoint === "auto" ? { ...facts, sourcesBehind: [] } : facts),
      drains: false,
    },
    breaks: /legitimate caller was refused|older connection was cut/,
  },
];

for (const { name, wrong, breaks } of WRONG) {
  test(`wrong: ${name}`, () => {
    const { violation } = exploreTakeover({ ...RIGHT_TAKEOVER, ...wrong });
    assert.match(violation ?? "nothing happened", breaks);
  });
}
