import assert from "node:assert/strict";
import { test } from "node:test";
import { ip } from "#core/net/ip.ts";
import { createLog } from "#core/runtime/log.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { Registry } from "prom-client";
import { ConnectionLog, type ConnectionRecord } from "./connection-log.ts";
import { ProxyMetrics } from "./metrics.ts";

function setUp(): {
  readonly lines: () => readonly Record<string, unknown>[];
  readonly log: ConnectionLog;
  readonly scrape: (name: string) => Promise<readonly string[]>;
} {
  const written: string[] = [];
  const { root } = createLog("access", { level: "info", write: (line) => void written.push(line) });
  const metrics = new ProxyMetrics();
  const registry = new Registry();
  metrics.register(registry);
  let now = 0;
  return {
    lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
    log: new ConnectionLog({ log: root, metrics, monotonicMs: () => (now += 6) }),
    scrape: async (name) => (await registry.metrics()).split("\n").filter((l) => l.startsWith(`${name}{`)),
  };
}

const record = (given: Partial<ConnectionRecord> = {}): ConnectionRecord => ({
  direction: "inbound",
  protocol: "hbone",
  source: { ip: ip("10.0.0.9"), port: 40_000 },
  destination: { ip: ip("10.0.0.5"), port: 15_008 },
  sourceWorkload: aWorkload({ name: "client-1", canonicalName: "client", workloadName: "client" }),
  sourceIdentity: "spiffe://cluster.local/ns/default/sa/client" as never,
  sourceSerial: "0a",
  hboneAuthority: "10.0.0.5:8080",
  service: aService(),
  destinationWorkload: aWorkload(),
  destinationIdentity: "spiffe://cluster.local/ns/default/sa/web" as never,
  destinationSerial: "0b",
  ...given,
});

test("a denial is one line with who, what, which policy and why, in Istio's key order", () => {
  const { log, lines } = setUp();
  const connection = log.open(record());
  connection.established();
  connection.record.trace = {
    policy: "default/p" as never,
    rule: 0,
    nearest: undefined,
    dryRun: undefined,
    explanation: "explicitly denied by: default/p",
  };
  connection.finish({ reason: "denied-by-policy", error: "explicitly denied by: default/p" });
  connection.finish({});
  const [line, ...more] = lines();
  assert.equal(more.length, 0);
  assert.deepEqual(Object.keys(line ?? {}).slice(2), [
    "scope",
    "src.addr",
    "src.workload",
    "src.namespace",
    "src.identity",
    "src.cluster",
    "dst.addr",
    "dst.hbone_addr",
    "dst.service",
    "dst.workload",
    "dst.namespace",
    "dst.identity",
    "dst.cluster",
    "direction",
    "bytes_sent",
    "bytes_recv",
    "duration",
    "error",
    "policy",
    "rule",
    "reason",
    "stage",
    "src.cert_serial",
    "dst.cert_serial",
    "protocol",
    "decision_id",
    "msg",
  ]);
  assert.equal(line?.["stage"], "I5");
  assert.equal(line?.["duration"], "6ms");
});

test("what failed before it was tracked has a line and no metrics", async () => {
  const { log, lines, scrape } = setUp();
  log.open(record()).finish({ reason: "source-unknown" });
  assert.equal(lines()[0]?.["msg"], "connection failed");
  assert.deepEqual(await scrape("istio_tcp_connections_opened_total"), []);
});

test("bytes in the log are the local application's, in metrics downstream to upstream", async () => {
  const { log, lines, scrape } = setUp();
  const connection = log.open(record());
  connection.established();
  assert.match((await scrape("istio_tcp_sockets_open")).join(), /destination"\} 1/);
  connection.finish({ bytesSent: 7, bytesReceived: 30 });
  assert.equal(lines()[0]?.["bytes_sent"], 30);
  assert.equal(lines()[0]?.["bytes_recv"], 7);
  assert.match((await scrape("istio_tcp_sent_bytes_total")).join(), / 7$/);
  assert.match((await scrape("istio_tcp_received_bytes_total")).join(), / 30$/);
  assert.match((await scrape("istio_tcp_connections_closed_total")).join(), /response_flags="-".* 1$/);
});

test("a same-node connection is one line and counts for both reporters", async () => {
  const { log, lines, scrape } = setUp();
  const connection = log.open(record({ protocol: "local", direction: "outbound" }));
  connection.established();
  connection.finish({});
  assert.equal(lines().length, 1);
  assert.equal((await scrape("istio_tcp_connections_opened_total")).length, 2);
});
