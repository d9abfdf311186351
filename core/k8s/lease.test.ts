import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { systemClock, type Clock } from "../base/clock.ts";
import { silentLogger } from "../runtime/log.ts";
import { FakeKubeApi } from "../testing/fake-kube-api.ts";
import { jsonObject, jsonText } from "./json-read.ts";
import type { KubeClient } from "./kube-client.ts";
import { decideLease, LeaderElection } from "./lease.ts";
import { kubeClientFor } from "./load-config.ts";

const LEASES = "/apis/coordination.k8s.io/v1/leases";
let api: FakeKubeApi;
let client: KubeClient;
const made: LeaderElection[] = [];

before(async () => {
  api = await FakeKubeApi.start();
  client = kubeClientFor({ server: api.url });
});
afterEach(async () => {
  api.intercept = () => undefined;
  for (const election of made.splice(0)) await election.stop();
  api.remove(LEASES, "system/leader");
});
after(async () => {
  client.close();
  await api.close();
});

/** Monotonic time of this process is set by hand; waits between tries take 2 ms. */
function elect(identity: string): { election: LeaderElection; time: { ms: number } } {
  const time = { ms: 0 };
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => time.ms,
    sleep: (_ms, signal) => systemClock.sleep(2, signal),
  };
  const election = new LeaderElection({
    client,
    namespace: "system",
    name: "leader",
    identity,
    log: silentLogger,
    clock,
  });
  made.push(election);
  election.start();
  return { election, time };
}

async function eventually(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1_000; i++) {
    if (condition()) return;
    await pause(5);
  }
  throw new Error(`never happened: ${what}`);
}

const holder = (): string =>
  jsonText(jsonObject(api.get(LEASES, "system/leader")?.["spec"])["holderIdentity"]);

test("what to do about a lease", () => {
  const seen = { resourceVersion: "1", durationMs: 15_000, transitions: 0, sinceMs: 100 };
  assert.equal(decideLease(undefined, "a", 0), "create");
  assert.equal(decideLease({ ...seen, holder: "a" }, "a", 99_999), "renew");
  assert.equal(decideLease({ ...seen, holder: "" }, "a", 100), "take");
  assert.equal(decideLease({ ...seen, holder: "b" }, "a", 15_099), "wait");
  assert.equal(decideLease({ ...seen, holder: "b" }, "a", 15_100), "take");
});

test("one of two leads; when it stops, the other takes over at once", async () => {
  const a = elect("a");
  await eventually("a leads", () => a.election.isLeader());
  const b = elect("b");
  await pause(30);
  assert.equal(b.election.isLeader(), false);
  await a.election.stop();
  assert.equal(a.election.isLeader(), false);
  await eventually("b leads", () => b.election.isLeader());
  assert.equal(holder(), "b");
});

test("a leader that cannot renew stops leading by its own clock, before anyone can take over", async () => {
  const a = elect("a");
  await eventually("a leads", () => a.election.isLeader());
  api.intercept = () => ({ status: 503, body: {} });
  await pause(20);
  assert.equal(a.election.isLeader(), true);
  a.time.ms += 10_000;
  assert.equal(a.election.isLeader(), false);
});

test("a holder that has not renewed for its duration, as seen by us, is replaced", async () => {
  api.put(LEASES, {
    metadata: { namespace: "system", name: "leader" },
    spec: {
      holderIdentity: "dead",
      leaseDurationSeconds: 15,
      leaseTransitions: 3,
      renewTime: "2099-01-01T00:00:00Z",
    },
  });
  const b = elect("b");
  await pause(30);
  assert.equal(b.election.isLeader(), false);
  b.time.ms += 15_000;
  await eventually("b leads", () => b.election.isLeader());
  assert.equal(jsonObject(api.get(LEASES, "system/leader")?.["spec"])["leaseTransitions"], 4);
});

test("whoever loses the race for the write does not lead", async () => {
  api.intercept = (request) => (request.method === "POST" ? { status: 409, body: {} } : undefined);
  const a = elect("a");
  await pause(30);
  assert.equal(a.election.isLeader(), false);
});
