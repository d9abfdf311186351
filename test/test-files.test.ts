/** No test is forgotten: every file that is one belongs to exactly one of the runs of `npm test`. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { allTests, e2eSuites, rootTests, unitTests } from "#tools/test-files.ts";

test("every test file is run exactly once", () => {
  const run = [...unitTests(), ...rootTests(), ...e2eSuites()];
  assert.deepEqual(run.toSorted(), allTests());
  assert.equal(new Set(run).size, run.length);
  assert.ok(run.length > 100, `found ${run.length}`);
});

test("a test that needs root says so, and fails instead when root was demanded", () => {
  const silent = rootTests().filter((file) => {
    const text = readFileSync(file, "utf8");
    return !/AMBIT_REQUIRE_ROOT|skipWithoutRoot|from "[^"]*pod-network\.ts"/.test(text);
  });
  assert.deepEqual(silent, []);
});
