import assert from "node:assert/strict";
import { test } from "node:test";
import { EnvReader } from "#core/runtime/env.ts";
import { parseAgentConfig } from "./config.ts";

const NAMES = { NODE_NAME: "n1", POD_NAME: "agent-1" };

test("every problem is reported at once, and no word is quietly taken for another", () => {
  const config = parseAgentConfig(
    new EnvReader({
      AMBIT_CAPTURE: "tc",
      LOG_LEVEL: "loud",
      UNENROL_DRAIN: "1 minute",
      AMBIT_AGENT_ADMIN_PORT: "x",
    }),
  );
  assert.ok(!config.ok);
  assert.deepEqual(config.problems.map((problem) => problem.path).toSorted(), [
    "AMBIT_AGENT_ADMIN_PORT",
    "AMBIT_CAPTURE",
    "LOG_LEVEL",
    "NODE_NAME",
    "POD_NAME",
    "UNENROL_DRAIN",
  ]);
});

test("node and pod name are all that must be given", () => {
  const config = parseAgentConfig(new EnvReader(NAMES));
  assert.ok(config.ok);
  assert.deepEqual(
    [config.value.attachment, config.value.logLevel, config.value.holdMs],
    ["auto", "info", 30_000],
  );
  const chosen = parseAgentConfig(new EnvReader({ ...NAMES, AMBIT_CAPTURE: "clsact", LOG_LEVEL: "debug" }));
  assert.ok(chosen.ok);
  assert.deepEqual([chosen.value.attachment, chosen.value.logLevel], ["clsact", "debug"]);
});
