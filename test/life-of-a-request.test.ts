/** The page about requests has every reason of the code, with its step, its flag and its answer; steps and stages are those of the code. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { STAGES } from "#controller/waypoints/binding/binding.ts";
import { type Reason, reasonFacts } from "#waypoint/http/reasons.ts";

const ROOT = join(import.meta.dirname, "..");
const page = readFileSync(join(ROOT, "docs/life-of-a-request.md"), "utf8");
const source = readFileSync(join(ROOT, "waypoint/http/reasons.ts"), "utf8");
const union = /export type Reason =([^;]+);/.exec(source)?.[1] ?? "";
const reasons = [...union.matchAll(/"([a-z-]+)"/g)].map(([, name]) => name as Reason);

const rows = [...page.matchAll(/^\| (W\d) \| ([^|]+) \| (-|[A-Z]+) \| ([^|]+) \|$/gm)].flatMap(
  ([, stage, names = "", flag, answer = ""]) =>
    [...names.matchAll(/`([a-z-]+)`/g)].map(([, name]) => ({ name: name as Reason, stage, flag, answer })),
);

test("every reason is there once", () => {
  assert.ok(reasons.length > 20, `${reasons.length} reasons were read`);
  assert.deepEqual(rows.map(({ name }) => name).toSorted(), reasons.toSorted());
});

for (const { name, stage, flag, answer } of rows)
  test(`${name}: its step, flag and answer are the code's`, () => {
    const facts = reasonFacts(name);
    assert.deepEqual({ stage, flag }, { stage: facts.stage, flag: facts.flag });
    const status = Number(/^\d{3}/.exec(answer)?.[0] ?? 0);
    assert.equal(status, facts.status);
  });

test("the steps of the table are those of the file headers", () => {
  const steps = [...page.matchAll(/^\| (W\d) \| .+? \| (`.+?) \|/gm)].map(([, step = "", files = ""]) => ({
    step,
    files: [...files.matchAll(/`((?:waypoint|core)\/[^`]+\.ts)`/g)].map(([, file = ""]) => file),
  }));
  assert.deepEqual(
    steps.map(({ step }) => step),
    ["W1", "W2", "W3", "W4", "W5", "W6"],
  );
  for (const { step, files } of steps) {
    for (const file of files) assert.ok(existsSync(join(ROOT, file)), file);
    const heads = files.map((file) => readFileSync(join(ROOT, file), "utf8").slice(0, 600));
    assert.ok(
      heads.some((head) => head.includes(step)),
      `no file of ${step} says that it is ${step}`,
    );
  }
});

test("the list of W3 is that of the code, in its order and by its names", () => {
  const pipeline = readFileSync(join(ROOT, "waypoint/http/pipeline.ts"), "utf8");
  const list = /const STEPS: readonly Step\[\] = \[([^\]]+)\]/.exec(pipeline)?.[1] ?? "";
  const steps = [...list.matchAll(/\w+/g)].map(([name]) => name);
  assert.ok(steps.length > 3, list);
  const row = /^\| W3 \| (.+?) \| /m.exec(page)?.[1] ?? "";
  assert.deepEqual(
    [...row.matchAll(/`(\w+)`/g)].map(([, name]) => name),
    steps,
  );
});

test("every stage of a binding is told", () => {
  for (const stage of STAGES) assert.ok(page.includes(`\`${stage}\``), stage);
});
