/** How long a connection waits for a waypoint. Time is the test's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { podUid } from "#core/model/ids.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { createManualClock, type ManualClock, settle } from "#core/testing/manual-clock.ts";
import { WaitingRoom } from "./waiting-room.ts";
import { WaypointPatience } from "./waypoint-patience.ts";

interface Fixture {
  readonly clock: ManualClock;
  readonly state: MeshState;
  readonly room: WaitingRoom;
  readonly removed: AbortController;
  readonly patience: WaypointPatience;
}

function fixture(total = 1): Fixture {
  const clock = createManualClock();
  const state = new MeshState();
  const room = new WaitingRoom({ total, perPod: total });
  const removed = new AbortController();
  const deps = { state, clock, room, random: () => 0.5, waitMs: 10_000 };
  return { clock, state, room, removed, patience: new WaypointPatience(deps, podUid("a"), [removed.signal]) };
}

/** Whether the promise has settled by now. */
async function isDone(promise: Promise<void>): Promise<boolean> {
  let done = false;
  void promise.then(() => (done = true));
  await settle();
  return done;
}

test("wakes with the next change of the mesh, and with nothing else before the deadline", async () => {
  const { clock, state, patience } = fixture();
  const change = patience.change();
  await clock.advance(9_999);
  assert.equal(await isDone(change), false);
  state.commit({ upserts: [], removals: [] });
  assert.equal(await isDone(change), true);
  assert.equal(patience.isOver, false);
  patience.end();
});

test("is over at the deadline, which ends every wait and every dial", async () => {
  const { clock, patience } = fixture();
  const change = patience.change();
  await clock.advance(10_000);
  assert.equal(await isDone(change), true);
  assert.deepEqual([patience.isOver, patience.signal.aborted], [true, true]);
  assert.equal(await isDone(patience.change()), true, "no further wait");
  patience.end();
});

test("ends with the pod, without having been too long", async () => {
  const { removed, patience } = fixture();
  const pause = patience.pause();
  removed.abort();
  assert.equal(await isDone(pause), true);
  assert.deepEqual([patience.isOver, patience.signal.aborted], [false, true]);
  patience.end();
});

test("pauses between dials grow from 50 ms to a second", async () => {
  const { clock, patience } = fixture();
  const pauses: number[] = [];
  while (clock.monotonicMs() < 5_000) {
    const startMs = clock.monotonicMs();
    const pause = patience.pause();
    while (!(await isDone(pause))) await clock.advance(10);
    pauses.push(clock.monotonicMs() - startMs);
  }
  assert.deepEqual(pauses.slice(0, 7), [50, 100, 200, 400, 800, 1_000, 1_000]);
  patience.end();
});

test("needs room to wait, and gives it back", () => {
  const { room, patience } = fixture();
  assert.equal(patience.enter(), true);
  assert.equal(patience.enter(), true, "it is in already");
  assert.equal(room.size, 1);
  patience.end();
  assert.equal(room.size, 0);
  const full = fixture(0);
  assert.equal(full.patience.enter(), false);
  full.patience.end();
});
