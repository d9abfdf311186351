import assert from "node:assert/strict";
import test from "node:test";
import { golden, testdata } from "../testing.ts";
import { connectionTable } from "./connection-table.ts";
import { parsePreEnrolment } from "./pre-enrolment.ts";
import { parseZtunnelDump, type ZtunnelDump } from "./ztunnel-dump.ts";

function dump(text: string): ZtunnelDump {
  const outcome = parseZtunnelDump(text);
  assert.ok(outcome.ok);
  return outcome.value;
}

test("older connections stand with their pod, also with pods that ztunnel has no connection of", () => {
  const older = parsePreEnrolment(testdata("pre-enrolment.json"));
  assert.ok(older.ok);
  const filter = { namespace: "", direction: "", raw: false } as const;
  const table = connectionTable([dump(testdata("config-dump.json"))], older.value, filter);
  assert.equal(table, golden("connections-pre-enrolment.txt", table));
});

test("filters hold for older connections too", () => {
  const older = parsePreEnrolment(testdata("pre-enrolment.json"));
  assert.ok(older.ok);
  const count = (filter: Parameters<typeof connectionTable>[2]): number =>
    connectionTable([], older.value, filter).split("\n").length - 2;
  assert.equal(count({ namespace: "", direction: "outbound", raw: true }), 1);
  assert.equal(count({ namespace: "street", direction: "", raw: true }), 0);
  assert.equal(
    count({ namespace: "", direction: "", raw: true, pod: { namespace: "shop", name: "catalog-0" } }),
    1,
  );
});

test("an address that several pods share, or nobody has, is shown as it is", () => {
  const workloads = ["a", "b"].map((name) => ({ name, namespace: "x", workloadIps: ["192.0.2.1"] }));
  const outbound = [{ src: "192.0.2.1:1", originalDst: "198.51.100.1:443", actualDst: "", protocol: "TCP" }];
  const workloadState = {
    u: { info: { name: "a", namespace: "x" }, connections: { inbound: [], outbound } },
  };
  const table = connectionTable([dump(JSON.stringify({ workloads, workloadState }))], [], {
    namespace: "",
    direction: "",
    raw: false,
  });
  assert.match(table, /a\.x +Outbound +192\.0\.2\.1:1 +198\.51\.100\.1:443 TCP/);
});
