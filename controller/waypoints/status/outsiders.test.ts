/** Callers that a bound workload will refuse: found in ztunnels' metrics, counted once, named in a status. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { silentLogger } from "#core/runtime/log.ts";
import { createManualClock } from "#core/testing/manual-clock.ts";
import type { Binding } from "../binding/binding.ts";
import { OutsiderCensus } from "./outsider-census.ts";
import { describeOutsiders, type Judgement, type OutsiderAnswer, outsidersIn } from "./outsiders.ts";
import { scrapeMetrics } from "./scrape-metrics.ts";
import type { WaypointGateway } from "../gateway/waypoint-gateway.ts";

function line(labels: Readonly<Record<string, string>>, value: number | string): string {
  const all = {
    source_address: "10.9.0.1",
    source_workload: "legacy",
    source_workload_namespace: "other",
    destination_workload: "catalog",
    destination_workload_namespace: "shop",
    destination_port: "8080",
    ...labels,
  };
  const text = Object.entries(all).map(([name, label]) => `${name}="${label}"`);
  return `ambit_plaintext_connections_last_hour{${text.join(",")}} ${value}`;
}

const nobody = { source_workload: "unknown", source_workload_namespace: "unknown" };
const METRICS = [
  "# TYPE ambit_plaintext_connections_last_hour gauge",
  line({}, 2),
  line({ source_address: "10.9.0.2", odd: 'odd \\"} 9' }, 3),
  line({ ...nobody, source_address: "10.9.0.9" }, 4),
  line({ ...nobody, source_address: "others", destination_port: "0" }, 1),
  line({ source_workload: "enrolled-since" }, 100),
  line({ destination_workload: "db" }, 100),
  line({ destination_workload_namespace: "bank" }, 100),
  line({ destination_port: "5432" }, 100),
  line({}, "x"),
  "ambit_plaintext_window_seconds 3600",
  "istio_tcp_connections_opened_total{} 100",
  "nonsense",
].join("\n");

const JUDGEMENT: Judgement = {
  isRefused: ({ namespace, name }, port) => namespace === "shop" && name === "catalog" && port !== 5_432,
  isOutside: ({ name }) => name !== "enrolled-since",
  isNeeded: (node) => node !== "empty",
};

test("connections to what will be refused count, by workload or else by address; nothing else does", () => {
  const { windowSeconds, callers } = outsidersIn(METRICS, JUDGEMENT);
  assert.equal(windowSeconds, 3_600);
  assert.deepEqual(
    [...callers],
    [
      ["other/legacy", 5],
      ["10.9.0.9", 4],
      ["others", 1],
    ],
  );
  const none = outsidersIn("", JUDGEMENT);
  assert.equal(none.callers.size, 0);
  assert.equal(
    none.windowSeconds,
    undefined,
    "a ztunnel that does not count does not say that there is nobody",
  );
});

const AT = new Date(Date.UTC(2026, 0, 1, 12, 30, 59));
const answer = (
  node: string,
  callers: Readonly<Record<string, number>>,
  windowSeconds = 3_600,
): OutsiderAnswer => ({
  node,
  count: { windowSeconds, callers: new Map(Object.entries(callers)) },
  isNeeded: JUDGEMENT.isNeeded(node),
});

test("a status names the most frequent of all nodes, how many more there are, and since when they were counted", () => {
  const many = Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`ns/caller-${i}`, i + 1]));
  const text = describeOutsiders(
    [answer("n1", many), answer("n2", { "ns/caller-0": 10 }, 725), answer("empty", {}, 5)],
    AT,
  );
  assert.match(
    text ?? "",
    /within the hour before 2026-01-01T12:30Z, .*: ns\/caller-0 \(11\), ns\/caller-6 \(7\), .* and 2 more; .*refused: enrol them/,
  );
  assert.match(text ?? "", /; ztunnels that started within that hour counted for less: node n2 12 min$/);
});

test("nobody is said to be nobody only by those who were asked and count", () => {
  assert.equal(describeOutsiders([], AT), undefined);
  assert.equal(describeOutsiders([answer("n1", {}), answer("n2", { "a/b": 0 }, 5)], AT), undefined);
  const silent: readonly OutsiderAnswer[] = [
    { node: "n2", count: undefined, isNeeded: true },
    { node: "empty", count: undefined, isNeeded: false },
    { node: "n1", count: { windowSeconds: undefined, callers: new Map() }, isNeeded: true },
  ];
  assert.match(
    describeOutsiders(silent, AT) ?? "",
    /^ztunnels that could not be asked .*: node n1, node n2$/,
  );
});

const binding: Binding = {
  policy: "shop/p" as never,
  field: "f",
  scope: { kind: "workloads", labels: {} },
  stage: "starting",
  sinceMs: 0,
};
const gatewayWith = (...bindings: readonly Binding[]): WaypointGateway =>
  ({ key: "shop/ambit-waypoint", record: { deploymentUid: "", bindings } }) as unknown as WaypointGateway;

function censusOf(judgement: () => Judgement | undefined = () => JUDGEMENT) {
  const asked: string[] = [];
  const told: (() => void)[] = [];
  const clock = createManualClock(AT.getTime());
  const census = new OutsiderCensus({
    clock,
    log: silentLogger,
    ztunnels: () => [
      { address: "10.0.0.1", node: "n1" },
      { address: "10.0.0.2", node: "n2" },
    ],
    scrape: (address) => {
      asked.push(address);
      return address === "10.0.0.1" ? Promise.reject(new Error("away")) : Promise.resolve(METRICS);
    },
    judgement,
    onResult: () => told.shift()?.(),
  });
  return {
    asked,
    clock,
    said: () => census.of("shop/ambit-waypoint").get(binding.policy) ?? "",
    look: (...gateways: readonly WaypointGateway[]) => census.look(gateways),
    result: () => new Promise<void>((resolve) => told.push(resolve)),
  };
}

test("ztunnels are asked once for a binding; one that does not answer hides nobody else's callers, and is named", async () => {
  const { asked, look, result, said } = censusOf();
  const first = result();
  look(gatewayWith(binding));
  look(gatewayWith(binding));
  await first;
  assert.deepEqual(asked, ["10.0.0.1", "10.0.0.2"]);
  assert.match(said(), /other\/legacy \(5\), 10\.9\.0\.9 \(4\), others \(1\)/);
  assert.match(said(), /could not be asked .*: node n1$/);
  look();
  assert.equal(said(), "", "forgotten with its waypoint");
});

test("while callers still get in they are asked for again; what was found last stays when they are refused", async () => {
  const { asked, clock, look, result, said } = censusOf();
  let next = result();
  look(gatewayWith(binding));
  await next;
  await clock.advance(6 * 60_000);
  next = result();
  look(gatewayWith({ ...binding, stage: "draining" }));
  await next;
  assert.match(said(), /before 2026-01-01T12:36Z/);
  await clock.advance(6 * 60_000);
  for (const stage of ["denying", "enforced", "releasing"] as const) look(gatewayWith({ ...binding, stage }));
  assert.equal(asked.length, 4);
  assert.match(said(), /before 2026-01-01T12:36Z/);
});

test("another leader, which finds everything enforced, asks for what ztunnels still know; bindings that refuse nobody are not asked for", async () => {
  const late = censusOf();
  const first = late.result();
  late.look(gatewayWith({ ...binding, stage: "enforced" }));
  await first;
  assert.match(late.said(), /other\/legacy \(5\)/);
  const dry = censusOf(() => undefined);
  dry.look(gatewayWith(binding));
  assert.deepEqual(dry.asked, []);
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
