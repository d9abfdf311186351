/** Callers that a bound workload will refuse: found in ztunnels' metrics, counted once, named in a status. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { silentLogger } from "#core/runtime/log.ts";
import { createManualClock } from "#core/testing/manual-clock.ts";
import { OutsiderCensus } from "./outsider-census.ts";
import { describeOutsiders, outsidersIn, sumOf } from "./outsiders.ts";
import { scrapeMetrics } from "./scrape-metrics.ts";
import type { WaypointGateway } from "./waypoint-gateway.ts";

function line(labels: Readonly<Record<string, string>>, value: number | string): string {
  const all = {
    reporter: "destination",
    source_workload: "legacy",
    source_workload_namespace: "other",
    destination_workload: "catalog",
    destination_workload_namespace: "shop",
    connection_security_policy: "unknown",
    ...labels,
  };
  const text = Object.entries(all).map(([name, label]) => `${name}="${label}"`);
  return `istio_tcp_connections_opened_total{${text.join(",")}} ${value}`;
}

const METRICS = [
  "# TYPE istio_tcp_connections_opened_total counter",
  line({}, 2),
  line({ source_app: 'odd \\"} 9' }, 3),
  line({ source_workload: "unknown", source_workload_namespace: "unknown" }, 4),
  line({ connection_security_policy: "mutual_tls" }, 100),
  line({ reporter: "source" }, 100),
  line({ source_workload: "enrolled-since" }, 100),
  line({ destination_workload: "db" }, 100),
  line({ destination_workload_namespace: "bank" }, 100),
  line({}, "x"),
  "istio_tcp_connections_closed_total{} 100",
  "nonsense",
].join("\n");
const isCatalog = ({ namespace, name }: { namespace: string; name: string }): boolean =>
  namespace === "shop" && name === "catalog";

const isOutside = ({ name }: { name: string }): boolean => name !== "enrolled-since";

test("connections without mutual TLS to served workloads count, by caller; nothing else does", () => {
  assert.deepEqual(
    [...outsidersIn(METRICS, { isServed: isCatalog, isOutside })],
    [
      ["other/legacy", 5],
      ["unknown", 4],
    ],
  );
  assert.equal(outsidersIn("", { isServed: isCatalog, isOutside }).size, 0);
});

test("a status names the most frequent, and says how many more there are", () => {
  assert.equal(describeOutsiders(new Map()), undefined);
  assert.equal(describeOutsiders(new Map([["a/b", 0]])), undefined);
  const many = new Map(Array.from({ length: 7 }, (_, i) => [`ns/caller-${i}`, i + 1]));
  assert.match(describeOutsiders(many) ?? "", /refuse: ns\/caller-6 \(7\), .*ns\/caller-2 \(3\) and 2 more$/);
  assert.deepEqual([...sumOf([new Map([["a", 1]]), new Map([["a", 2]])])], [["a", 3]]);
});

const binding = {
  policy: "shop/p" as never,
  field: "f",
  scope: { kind: "workloads", labels: {} },
  stage: "starting",
  sinceMs: 0,
} as const;
const gateway = {
  key: "shop/ambit-waypoint",
  record: { deploymentUid: "", bindings: [binding] },
} as unknown as WaypointGateway;

test("ztunnels are asked once for a set of bindings; one that does not answer hides nobody else's callers", async () => {
  const asked: string[] = [];
  const told = Promise.withResolvers<void>();
  const census = new OutsiderCensus({
    clock: createManualClock(),
    log: silentLogger,
    ztunnels: () => ["10.0.0.1", "10.0.0.2"],
    scrape: (address) => {
      asked.push(address);
      return address === "10.0.0.1" ? Promise.reject(new Error("away")) : Promise.resolve(METRICS);
    },
    isServed: (_gateway, workload) => isCatalog(workload),
    isOutside,
    onResult: () => told.resolve(),
  });
  census.look([gateway]);
  census.look([gateway]);
  await told.promise;
  assert.deepEqual(asked, ["10.0.0.1", "10.0.0.2"]);
  assert.match(census.of(gateway.key) ?? "", /other\/legacy \(5\), unknown \(4\)/);
  census.look([]);
  assert.equal(census.of(gateway.key), undefined, "forgotten with its waypoint");
});

test("a scrape is refused when the answer is not metrics, and cut when it has no end", async (t) => {
  const server = createServer((request, response) => {
    if (request.url !== "/metrics") response.end("no");
    else if (request.headers["host"]?.startsWith("localhost") === true) response.writeHead(500).end();
    else response.end(METRICS);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  assert.equal(await scrapeMetrics("127.0.0.1", port), METRICS);
  await assert.rejects(scrapeMetrics("localhost", port), { code: "METRICS_UNREADABLE" });
  server.removeAllListeners("request");
  const block = Buffer.alloc(1_048_576);
  server.on("request", (_request, response) => {
    const more = (): void => {
      while (response.write(block));
    };
    response.on("drain", more);
    more();
  });
  await assert.rejects(scrapeMetrics("127.0.0.1", port), { code: "METRICS_UNREADABLE" });
});
