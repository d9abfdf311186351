import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "#core/testing/manual-clock.ts";
import { StaticCollection } from "../collections/static.ts";
import type { EncodedResource, ResourceKind } from "../encoded-resource.ts";
import { type DebounceOptions, dueAtMs } from "./debounce.ts";
import { PublishedState } from "./published-state.ts";
import { Publisher } from "./publisher.ts";

const WINDOWS: DebounceOptions = { rule: "windows", afterMs: 100, maxMs: 10_000, debounceEndpoints: true };
const ISTIO: DebounceOptions = { ...WINDOWS, rule: "istio" };

function setUp(options: DebounceOptions) {
  const clock = createManualClock();
  const addresses = new StaticCollection<EncodedResource>("addresses");
  const authorizations = new StaticCollection<EncodedResource>("authorizations");
  const waypoints = new StaticCollection<EncodedResource>("waypoints");
  const published = new PublishedState();
  const times: number[] = [];
  let consistent = true;
  const publisher = new Publisher(
    {
      addresses,
      authorizations,
      waypoints,
      published,
      clock,
      isConsistent: () => consistent,
      onPublish: () => times.push(clock.monotonicMs()),
    },
    options,
  );
  const put = (name: string, kind: ResourceKind): void => {
    const empty = new Uint8Array(0);
    const one = {
      name,
      kind,
      version: String(times.length),
      body: empty,
      entry: empty,
      aliases: [],
      services: [],
      node: "",
    };
    (kind === "authorization" ? authorizations : addresses).apply([[name, one]]);
    publisher.graphIsIdle();
  };
  const setConsistent = (value: boolean): void => {
    consistent = value;
  };
  return { clock, publisher, published, times, put, setConsistent };
}

test("nothing is published before everything is complete, then all of it at once", async () => {
  const { clock, publisher, published, times, put } = setUp(WINDOWS);
  put("w", "workload");
  put("p", "authorization");
  await clock.advance(60_000);
  assert.deepEqual(times, []);
  publisher.enable();
  assert.equal(times.length, 1);
  assert.deepEqual([published.size("address"), published.size("authorization")], [1, 1]);
});

test("endpoints are published 20 ms after their first change, services after 100 ms", async () => {
  const { clock, publisher, published, times, put } = setUp(WINDOWS);
  publisher.enable();
  times.length = 0;
  put("ns/svc", "service");
  put("w", "workload");
  await clock.advance(15);
  put("w2", "workload");
  await clock.advance(10);
  assert.deepEqual(
    [published.get("address", "w2")?.name, published.get("address", "ns/svc")],
    ["w2", undefined],
  );
  await clock.advance(80);
  assert.equal(published.get("address", "ns/svc")?.name, "ns/svc");
  assert.equal(times.length, 2);
});

test("a window is fixed: steady change does not put it off", async () => {
  const { clock, publisher, times, put } = setUp(WINDOWS);
  publisher.enable();
  times.length = 0;
  for (let i = 0; i < 100; i++) {
    put(`w${i}`, "workload");
    await clock.advance(10);
  }
  assert.ok(times.length >= 25, `${times.length}`);
});

test("a changed policy takes everything along, whichever lane is due first", async () => {
  const { clock, publisher, published, put } = setUp(WINDOWS);
  publisher.enable();
  put("p", "authorization");
  put("w", "workload");
  await clock.advance(25);
  assert.equal(published.get("authorization", "p")?.name, "p", "with the address lane");
  put("ns/svc", "service");
  await clock.advance(95);
  put("q", "authorization");
  put("w3", "workload");
  await clock.advance(8);
  assert.equal(published.get("address", "w3")?.name, "w3", "with the config lane");
});

test("a graph that is being computed is not read", async () => {
  const { clock, publisher, published, put, setConsistent } = setUp(WINDOWS);
  publisher.enable();
  put("w", "workload");
  setConsistent(false);
  await clock.advance(1_000);
  assert.equal(published.size("address"), 0);
  setConsistent(true);
  publisher.graphIsIdle();
  assert.equal(published.size("address"), 1);
});

test("Istio's rule waits for quiet, but not longer than the cap", async () => {
  const { clock, publisher, times, put } = setUp(ISTIO);
  publisher.enable();
  times.length = 0;
  for (let i = 0; i < 210; i++) {
    put(`w${i}`, "workload");
    await clock.advance(50);
  }
  assert.equal(times.length, 1, "one push at the cap of 10 s");
  await clock.advance(101);
  assert.equal(times.length, 2, "and one after the quiet");
});

test("when a lane is due", () => {
  const times = { firstMs: 1_000, lastMs: 1_050 };
  assert.equal(dueAtMs("addresses", times, WINDOWS, 0), 1_020);
  assert.equal(dueAtMs("addresses", times, WINDOWS, 70), 1_140, "twice the last fan-out");
  assert.equal(dueAtMs("config", times, WINDOWS, 70), 1_100);
  assert.equal(dueAtMs("config", times, ISTIO, 0), 1_150);
  assert.equal(dueAtMs("addresses", times, { ...ISTIO, debounceEndpoints: false }, 0), 1_000);
});
