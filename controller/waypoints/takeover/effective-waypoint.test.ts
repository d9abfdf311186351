/** Which waypoint is in force, row by row: [wished, others, named] -> who is told to sources, and who judges. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Stage, STAGES } from "../binding/binding.ts";
import { automaticHold, type Claim, effectiveWaypoint } from "./effective-waypoint.ts";

type Row = readonly [wished: string, others: string, named: string, gateway: string, judges: string];

/** `own:binding,draining old:enforced`. */
function claims(text: string): readonly Claim[] {
  return text
    .split(" ")
    .filter(Boolean)
    .map((one) => {
      const [gateway = "", stages = ""] = one.split(":");
      return { gateway, stages: stages.split(",") as readonly Stage[] };
    });
}

const ROWS: Readonly<Record<string, readonly Row[]>> = {
  "nobody has to do with it": [["", "", "", "-", ""]],
  "the automatic one comes and goes by itself": [
    ["auto:starting", "", "", "-", "auto"],
    ["auto:exempting", "", "", "-", "auto"],
    ["auto:binding", "", "", "auto", "auto"],
    ["auto:enforced", "", "", "auto", "auto"],
    ["auto:starting,enforced", "", "", "auto", "auto"],
    ["auto:unbinding", "", "", "-", "auto"],
    ["auto:resting", "", "", "-", "auto"],
  ],
  "one is named, and nothing came before: callers wait for it": [
    ["", "", "own", "own", "own"],
    ["own:starting", "", "own", "own", "own"],
    ["own:binding", "", "own", "own", "own"],
    ["own:enforced", "", "own", "own", "own"],
  ],
  "one is named after the automatic one": [
    ["", "auto:enforced", "own", "auto", "auto"],
    ["own:starting", "auto:enforced", "own", "auto", "auto own"],
    ["own:exempting", "auto:enforced", "own", "auto", "auto own"],
    ["own:binding", "auto:enforced", "own", "own", "own auto"],
    ["own:draining", "auto:enforced", "own", "own", "own"],
    ["own:denying", "auto:enforced", "own", "own", "own"],
    ["own:enforced", "", "own", "own", "own"],
  ],
  "one is named while the automatic one only starts": [
    ["own:binding", "auto:starting", "own", "own", "own auto"],
    ["own:draining", "auto:starting", "own", "own", "own"],
  ],
  "the label goes, and the automatic one comes": [
    ["", "own:enforced", "", "own", "own"],
    ["auto:starting", "own:enforced", "", "own", "own auto"],
    ["auto:exempting", "own:enforced", "", "own", "own auto"],
    ["auto:binding", "own:enforced", "", "auto", "auto own"],
    ["auto:draining", "own:enforced", "", "auto", "auto"],
    ["auto:denying", "own:unbinding", "", "auto", "auto"],
    ["auto:enforced", "own:resting", "", "auto", "auto"],
  ],
  "the label goes, and nothing comes": [
    ["", "own:releasing", "", "own", "own"],
    ["", "own:lifting", "", "own", "own"],
    ["", "own:unbinding", "", "-", "own"],
    ["", "own:resting", "", "-", ""],
  ],
  "one named waypoint after another": [
    ["", "old:enforced", "new", "old", "old"],
    ["new:starting", "old:enforced", "new", "old", "old new"],
    ["new:binding", "old:enforced", "new", "new", "new old"],
    ["new:draining", "old:enforced", "new", "new", "new"],
    ["new:enforced", "old:unbinding", "new", "new", "new"],
  ],
  "another name before the last one was in force": [
    ["third:starting", "new:binding old:enforced", "third", "new", "new third old"],
    ["third:binding", "new:unbinding old:enforced", "third", "third", "third new old"],
    ["old:enforced", "new:unbinding", "old", "old", "old"],
  ],
  "the one before is gone with its Gateway": [
    ["new:starting", "", "new", "new", "new"],
    ["new:exempting", "", "new", "new", "new"],
  ],
  "named by its own label and by the namespace's": [["own:starting", "own:enforced", "own", "own", "own"]],
};

for (const [what, rows] of Object.entries(ROWS)) {
  test(what, () => {
    for (const [wished, others, named, gateway, judges] of rows) {
      const effective = effectiveWaypoint({
        wished: claims(wished)[0],
        others: claims(others),
        named: named === "" ? undefined : named,
      });
      const where = `${wished} | ${others} | ${named}`;
      assert.equal(effective.gateway ?? "-", gateway, where);
      assert.deepEqual(new Set(effective.judges), new Set(judges.split(" ").filter(Boolean)), where);
    }
  });
}

test("whoever is told to sources judges, and whoever was in force stays so until another one is", () => {
  const some = [undefined, ...STAGES];
  const cases = some.flatMap((wished) =>
    some.flatMap((older) => [undefined, "new"].map((named) => ({ wished, older, named }))),
  );
  const claim = (gateway: string, stage: Stage): Claim => ({ gateway, stages: [stage] });
  for (const { wished, older, named } of cases) {
    const { gateway, judges } = effectiveWaypoint({
      wished: wished && claim("new", wished),
      others: older === undefined ? [] : [claim("old", older)],
      named,
    });
    if (gateway !== undefined) assert.ok(judges.includes(gateway));
    if (older === "enforced" || named !== undefined) assert.notEqual(gateway, undefined);
  }
  assert.equal(cases.length, 242);
});

test("the automatic one holds a pod until another one has taken over entirely, and refuses others until that one has them", () => {
  const holds = (...chosen: readonly (Stage | undefined)[]): string =>
    Object.entries(automaticHold(chosen))
      .flatMap(([what, holdsIt]) => (holdsIt ? [what] : []))
      .join(" ");
  assert.equal(holds(), "stays denies");
  for (const stage of [undefined, "starting", "exempting", "binding", "draining"] as const)
    assert.equal(holds(stage), "stays denies", String(stage));
  assert.equal(holds("denying"), "stays");
  assert.equal(holds("enforced"), "");
  // Callers of one of its services have left it for good: they would be refused.
  assert.equal(holds("starting", "enforced"), "");
  assert.equal(holds(undefined, "denying"), "stays");
});
