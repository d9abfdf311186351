import assert from "node:assert/strict";
import { test } from "node:test";
import { EnvReader } from "#core/runtime/env.ts";
import { parseLogLevel } from "#core/runtime/log-level.ts";
import { parseConfig } from "./config.ts";
import { plainLine } from "#core/runtime/plain-log.ts";

test("a node name is all that must be given", () => {
  const config = parseConfig(new EnvReader({ NODE_NAME: "n1" }));
  assert.ok(config.ok);
  assert.equal(config.value.xdsAddress, "istiod.istio-system.svc:15012");
  assert.equal(config.value.inpodUds, "/var/run/ztunnel/ztunnel.sock");
  assert.equal(config.value.drainDeadlineMs, 5_000);
  assert.deepEqual(config.value.trustDomains, ["cluster.local"]);
});

test("every problem is reported at once", () => {
  const config = parseConfig(new EnvReader({ SECRET_TTL: "soon", AMBIT_HANDLES: "rare", ADMIN_PORT: "-1" }));
  assert.ok(!config.ok);
  assert.deepEqual(
    config.problems.map((p) => p.path),
    ["NODE_NAME", "SECRET_TTL", "AMBIT_HANDLES", "ADMIN_PORT"],
  );
});

const graces: readonly (readonly [string, number])[] = [
  ["30", 25_000],
  ["11", 6_000],
  ["10", 9_000],
  ["1", 1_000],
];
for (const [seconds, expected] of graces) {
  test(`a grace period of ${seconds} s leaves ${expected} ms to drain`, () => {
    const config = parseConfig(new EnvReader({ NODE_NAME: "n", TERMINATION_GRACE_PERIOD_SECONDS: seconds }));
    assert.ok(config.ok);
    assert.equal(config.value.drainDeadlineMs, expected);
  });
}

test("log levels in Istio's spellings", () => {
  assert.equal(parseLogLevel("warning"), "warn");
  assert.equal(parseLogLevel("info,access=debug"), "info");
  assert.equal(parseLogLevel("loud"), undefined);
});

test("a plain line leaves addresses unquoted", () => {
  const line = plainLine(
    '{"level":"info","ts":"T","scope":"access","src.addr":"10.0.0.1:5","error":"a b","msg":"connection complete"}',
  );
  assert.equal(line, 'T\tinfo\taccess\tconnection complete\tsrc.addr=10.0.0.1:5 error="a b"\n');
});
