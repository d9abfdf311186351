import assert from "node:assert/strict";
import { test } from "node:test";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { createManualClock } from "#core/testing/manual-clock.ts";
import { compileSnapshot } from "../policy/snapshot.ts";
import { type OpenCall, OpenCalls } from "./open-calls.ts";
import type { Reason } from "./reasons.ts";

class FakeCall implements OpenCall {
  activity = 0;
  verdict: Reason | undefined;
  readonly ends: Reason[] = [];
  readonly identity: SpiffeId;
  readonly #calls: OpenCalls;

  constructor(calls: OpenCalls, identity = "frontend") {
    this.#calls = calls;
    this.identity = identity as SpiffeId;
    calls.add(this);
  }

  judgeAgain(): Reason | undefined {
    return this.verdict;
  }

  end(reason: Reason): void {
    this.ends.push(reason);
    this.#calls.remove(this);
  }
}

const snapshot = compileSnapshot({
  name: "shop/w",
  automatic: true,
  pathNormalization: "base",
  clientCertField: false,
  services: [],
  workloads: [],
  policies: [],
});

test("only what stands still for the whole time is ended", async () => {
  const clock = createManualClock();
  const calls = new OpenCalls({ clock, maxCalls: 10, idleMs: 1_000 });
  const still = new FakeCall(calls);
  const busy = new FakeCall(calls);
  for (let i = 0; i < 30; i++) {
    await clock.advance(100);
    busy.activity++;
    if (i < 9) assert.deepEqual(still.ends, []);
  }
  assert.deepEqual(still.ends, ["idle"]);
  assert.deepEqual(busy.ends, []);
});

test("nothing is looked at while there is nothing", async () => {
  const clock = createManualClock();
  const calls = new OpenCalls({ clock, maxCalls: 10, idleMs: 1_000 });
  assert.equal(clock.pending, 0);
  new FakeCall(calls).end("draining");
  await clock.advance(1_000);
  assert.equal(clock.pending, 0);
});

test("a change of policy ends those that it denies, and no other", () => {
  const calls = new OpenCalls({ clock: createManualClock(), maxCalls: 10, idleMs: 1_000 });
  const [denied, allowed] = [new FakeCall(calls), new FakeCall(calls)];
  denied.verdict = "denied-by-policy";
  calls.judgeAgain(snapshot);
  assert.deepEqual(denied.ends, ["policy-changed"]);
  assert.deepEqual(allowed.ends, []);
});

test("one too many of all, or of half of them for one identity; room is given back", () => {
  const calls = new OpenCalls({ clock: createManualClock(), maxCalls: 4, idleMs: 1_000 });
  const [one, two, three] = [new FakeCall(calls), new FakeCall(calls), new FakeCall(calls)];
  assert.equal(calls.isTooMany(two), true, "the third is there already");
  three.end("draining");
  assert.equal(calls.isTooMany(two), false);
  const others = ["a", "b"].map((identity) => new FakeCall(calls, identity));
  assert.ok(others.every((call) => !calls.isTooMany(call)));
  const last = new FakeCall(calls, "c");
  assert.equal(calls.isTooMany(last), true);
  one.end("draining");
  one.end("draining");
  assert.equal(calls.isTooMany(last), false);
  assert.equal(calls.size, 4);
});

test("empty when the last has gone", async () => {
  const calls = new OpenCalls({ clock: createManualClock(), maxCalls: 10, idleMs: 1_000 });
  await calls.empty();
  const [first, second] = [new FakeCall(calls), new FakeCall(calls)];
  let isEmpty = false;
  const empty = calls.empty().then(() => (isEmpty = true));
  second.end("draining");
  await Promise.resolve();
  assert.equal(isEmpty, false);
  first.end("draining");
  await empty;
  assert.equal(calls.size, 0);
});
