/** When a connection past a waypoint that has become bound is told its end, and when it is reset. Time is the test's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock, type ManualClock } from "#core/testing/manual-clock.ts";
import { BindingDrain, type DrainableConnection } from "./binding-drain.ts";

class FakeConnection implements DrainableConnection {
  movedBytes: number | undefined = 10;
  isAtRest = true;
  readonly ended: string[] = [];
  retire(reason: string): void {
    this.ended.push(`retired ${reason}`);
  }
  abort(reason: string): void {
    this.ended.push(`reset ${reason}`);
  }
}

interface Fixture {
  readonly clock: ManualClock;
  readonly connection: FakeConnection;
  readonly drain: BindingDrain<FakeConnection>;
  isBound: boolean;
}

function draining(): Fixture {
  const clock = createManualClock();
  const connection = new FakeConnection();
  const drain: BindingDrain<FakeConnection> = new BindingDrain(clock, () => fixture.isBound);
  const fixture: Fixture = { clock, connection, drain, isBound: true };
  drain.add(connection);
  return fixture;
}

test("an idle connection is told its end after 200 ms, once", async () => {
  const { clock, connection } = draining();
  await clock.advance(150);
  assert.deepEqual(connection.ended, []);
  await clock.advance(100);
  assert.deepEqual(connection.ended, ["retired moved-to-waypoint"]);
  await clock.advance(1_000);
  assert.equal(connection.ended.length, 1);
});

test("one that is never at rest is left alone, and reset after five seconds", async () => {
  const { clock, connection } = draining();
  connection.isAtRest = false;
  for (let ms = 0; ms < 4_900; ms += 100) {
    connection.movedBytes = ms + 100;
    await clock.advance(100);
  }
  assert.deepEqual(connection.ended, []);
  await clock.advance(100);
  assert.deepEqual(connection.ended, ["reset moved-to-waypoint"]);
});

test("one that waits for an answer is not idle, however quiet it is", async () => {
  const { clock, connection } = draining();
  connection.isAtRest = false;
  await clock.advance(4_950);
  assert.deepEqual(connection.ended, []);
  await clock.advance(50);
  assert.deepEqual(connection.ended, ["reset moved-to-waypoint"]);
});

test("a busy one is told its end between two requests, in the last second", async () => {
  const { clock, connection } = draining();
  for (let ms = 0; ms < 3_900; ms += 100) {
    connection.movedBytes = ms + 100;
    await clock.advance(100);
  }
  assert.deepEqual(connection.ended, [], "at rest, but never for long");
  connection.isAtRest = false;
  await clock.advance(500);
  assert.deepEqual(connection.ended, []);
  connection.isAtRest = true;
  await clock.advance(50);
  assert.deepEqual(connection.ended, ["retired moved-to-waypoint"]);
});

test("the quiet is counted from the answer on", async () => {
  const { clock, connection } = draining();
  connection.isAtRest = false;
  await clock.advance(1_000);
  connection.isAtRest = true;
  connection.movedBytes = 20;
  await clock.advance(200);
  assert.deepEqual(connection.ended, []);
  await clock.advance(100);
  assert.deepEqual(connection.ended, ["retired moved-to-waypoint"]);
});

test("one that is still being dialled is not idle", async () => {
  const { clock, connection } = draining();
  connection.movedBytes = undefined;
  await clock.advance(1_000);
  assert.deepEqual(connection.ended, []);
  connection.movedBytes = 0;
  await clock.advance(300);
  assert.deepEqual(connection.ended, ["retired moved-to-waypoint"]);
});

test("one that does not end although it was told is reset at the deadline", async () => {
  const { clock, connection, drain } = draining();
  await clock.advance(6_000);
  assert.deepEqual(connection.ended, ["retired moved-to-waypoint", "reset moved-to-waypoint"]);
  assert.equal(drain.size, 0);
  assert.equal(clock.pending, 0, "no timer is left");
});

test("one that has ended by itself is forgotten", async () => {
  const { clock, connection, drain } = draining();
  drain.remove(connection);
  await clock.advance(6_000);
  assert.deepEqual(connection.ended, []);
  assert.equal(clock.pending, 0);
});

test("a binding that is taken back ends nothing, idle or not", async () => {
  for (const isAtRest of [true, false]) {
    const fixture = draining();
    fixture.connection.isAtRest = isAtRest;
    fixture.isBound = false;
    await fixture.clock.advance(6_000);
    assert.deepEqual(fixture.connection.ended, []);
    assert.equal(fixture.drain.size, 0);
  }
});
