/**
 * 94 scenarios recorded against a real kube-apiserver 1.35 with its controller manager, replayed. Differences that we want to keep
 * are listed with a reason; one that no longer differs must be taken off the list.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Replayer, type Scenario } from "./testing/recorded-exchange.ts";
import { startTestApi } from "./testing/test-api.ts";

const EXPECTED_DIFFERENCES: Readonly<Record<string, string>> = {
  "crd create": "the clean-up finalizer is there from the start, and status appears with its conditions",
  "unknown resource": "a Status instead of the plain text of Go's HTTP multiplexer",
  finalizers: "the real server names the same field twice",
  endpointslice: "slices have stable names, no trigger time, and an empty list where the real one has null",
  "cr enum+required": "the real server reports the scale path once more",
  "create body rv": "400 instead of an unexplained 500",
  "ns delete": "the condition says what remains",
  "crd delete": "no Terminating condition; unknown kinds answer with a Status",
};

const lines = readFileSync(new URL("testdata/real-apiserver-1.35.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n");

test("exchanges with a real API server go as recorded", async (t) => {
  const api = await startTestApi({ controllers: "storage" });
  const replayer = new Replayer(api);
  let equal = 0;
  try {
    for (const line of lines) {
      const scenario = JSON.parse(line) as Scenario;
      await t.test(scenario.case, async () => {
        const reason = EXPECTED_DIFFERENCES[scenario.case];
        const differences = await replayer.replay(scenario, reason === undefined);
        if (reason === undefined) assert.deepEqual(differences, []);
        else assert.notDeepEqual(differences, [], `no longer differs, take it off the list: ${reason}`);
        if (differences.length === 0) equal += 1;
      });
    }
    t.diagnostic(`${equal} of ${lines.length} scenarios equal`);
  } finally {
    await api.close();
  }
});
