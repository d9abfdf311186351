/** Callers without mutual TLS of the last hour: counted, forgotten in time, and never without bound. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { aWorkload } from "#core/testing/builders.ts";
import { createManualClock } from "#core/testing/manual-clock.ts";
import { ip } from "#core/net/ip.ts";
import { Registry } from "prom-client";
import { RecentOutsiders } from "./recent-outsiders.ts";

const MINUTE = 60_000;
const catalog = aWorkload({ name: "catalog-1", namespace: "shop", workloadName: "catalog" });
const legacy = aWorkload({ name: "legacy-1", namespace: "street", workloadName: "legacy" });

function start() {
  const clock = createManualClock();
  const outsiders = new RecentOutsiders(clock);
  const registry = new Registry();
  outsiders.register(registry);
  const lines = async (): Promise<readonly string[]> =>
    (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return {
    clock,
    lines,
    note: (address: string, port = 8_080, known = true): void =>
      outsiders.note({
        source: { ip: ip(address), port: 40_000 },
        sourceWorkload: known ? legacy : undefined,
        destination: { ip: ip("10.0.0.5"), port },
        destinationWorkload: catalog,
      }),
  };
}

const count = (lines: readonly string[], part: string): number =>
  lines
    .filter((line) => line.startsWith("ambit_plaintext_connections") && line.includes(part))
    .reduce((total, line) => total + Number(line.split(" ").at(-1)), 0);

test("connections count by caller, workload and port; who nobody knows has an address all the same", async () => {
  const { note, lines } = start();
  note("10.1.0.1");
  note("10.1.0.1");
  note("10.1.0.1", 9_090);
  note("10.1.0.2", 8_080, false);
  assert.deepEqual(
    (await lines()).filter((line) => line.startsWith("ambit_plaintext_connections")),
    [
      'ambit_plaintext_connections_last_hour{source_address="10.1.0.1",source_workload="legacy",source_workload_namespace="street",destination_workload="catalog",destination_workload_namespace="shop",destination_port="8080"} 2',
      'ambit_plaintext_connections_last_hour{source_address="10.1.0.1",source_workload="legacy",source_workload_namespace="street",destination_workload="catalog",destination_workload_namespace="shop",destination_port="9090"} 1',
      'ambit_plaintext_connections_last_hour{source_address="10.1.0.2",source_workload="unknown",source_workload_namespace="unknown",destination_workload="catalog",destination_workload_namespace="shop",destination_port="8080"} 1',
    ],
  );
});

test("what is older than an hour is forgotten, what is not is not, and it says how much of the hour it knows", async () => {
  const { note, lines, clock } = start();
  note("10.1.0.1");
  await clock.advance(30 * MINUTE);
  note("10.1.0.1");
  note("10.1.0.2");
  assert.equal(count(await lines(), "10.1.0.1"), 2);
  assert.ok((await lines()).includes("ambit_plaintext_window_seconds 1800"));
  await clock.advance(29 * MINUTE);
  assert.equal(count(await lines(), "10.1.0.1"), 2, "within the hour");
  await clock.advance(7 * MINUTE);
  assert.equal(count(await lines(), "10.1.0.1"), 1, "the first is over an hour old");
  assert.ok((await lines()).includes("ambit_plaintext_window_seconds 3600"));
  note("10.1.0.1");
  await clock.advance(30 * MINUTE);
  assert.equal(count(await lines(), "10.1.0.1"), 1);
  assert.equal(count(await lines(), "10.1.0.2"), 0);
  await clock.advance(24 * 60 * MINUTE);
  assert.equal(count(await lines(), "source"), 0, "a ring that nobody turned is empty");
  note("10.1.0.1");
  assert.equal(count(await lines(), "10.1.0.1"), 1);
});

test("callers beyond the bound are counted without an address, until others are forgotten", async () => {
  const { note, lines, clock } = start();
  for (let i = 0; i < 1_300; i++) note(`10.2.${i >> 8}.${i & 255}`);
  note("10.2.0.1");
  const now = await lines();
  assert.equal(now.length, 1_000 + 1 + 1, "callers, the others, the window");
  assert.equal(count(now, 'source_address="others"'), 300);
  assert.equal(count(now, '"10.2.0.1"'), 2, "who is known is still counted");
  assert.equal(count(now, "source"), 1_301, "nobody is lost");
  await clock.advance(70 * MINUTE);
  note("10.3.0.1");
  assert.equal(count(await lines(), "10.3.0.1"), 1);
  assert.equal(count(await lines(), "source"), 1);
});
