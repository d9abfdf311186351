/** A dial is ended when its application goes; what the application says meanwhile is neither lost nor kept without bound. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { relayPlain } from "#core/hbone/relay.ts";
import { FakeHandle } from "#core/testing/fake-handle.ts";
import { createManualClock } from "#core/testing/manual-clock.ts";
import { DialWatch } from "./dial-watch.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Scene {
  readonly app: FakeHandle;
  readonly aborts: string[];
  readonly clock: ReturnType<typeof createManualClock>;
  readonly watch: DialWatch;
}

function scene(deadlineMs?: number): Scene {
  const app = new FakeHandle();
  const aborts: string[] = [];
  const clock = createManualClock();
  const deadline =
    deadlineMs === undefined ? undefined : { ms: deadlineMs, onReached: () => void aborts.push("deadline") };
  const watch = new DialWatch(app, { abort: (reason) => void aborts.push(reason) }, clock, deadline);
  return { app, aborts, clock, watch };
}

test("an application that is reset during a slow dial ends it", async () => {
  const { app, aborts, clock } = scene();
  await clock.advance(1_000);
  app.drop();
  await turn();
  assert.deepEqual(aborts, ["reset"]);
});

test("a clean end of the application's sending ends nothing", async () => {
  const { app, aborts, clock } = scene();
  await clock.advance(1_000);
  app.end();
  await turn();
  assert.deepEqual(aborts, []);
});

test("our own reset after the dial is no reset of the application's", async () => {
  const { app, aborts, clock, watch } = scene();
  await clock.advance(1_000);
  watch.end();
  app.reset();
  await turn();
  assert.deepEqual(aborts, []);
});

test("the deadline comes when it was set, watched or not, and not after the end", async () => {
  for (const ms of [500, 1_000, 4_000]) {
    const { aborts, clock } = scene(ms);
    await clock.advance(ms - 1);
    assert.deepEqual(aborts, []);
    await clock.advance(1);
    assert.deepEqual(aborts, ["deadline"]);
  }
  const { aborts, clock, watch } = scene(4_000);
  await clock.advance(2_000);
  watch.end();
  await clock.advance(10_000);
  assert.deepEqual(aborts, []);
  assert.equal(clock.pending, 0);
});

test("a quick dial costs nothing: the application's handle is given back untouched", () => {
  const { app, clock, watch } = scene();
  assert.equal(watch.end(), app);
  assert.equal(clock.pending, 0);
});

test("what the application said during the dial comes first and whole, at most 16 KiB are kept, then the rest flows", async () => {
  const { app, clock, watch } = scene();
  await clock.advance(1_000);
  const early = Buffer.from(Array.from({ length: 20_000 }, (_, i) => i % 251));
  app.feed(early, 10_000);
  assert.ok(app.isPaused, "no more is read");
  const upstream = new FakeHandle();
  const pair = relayPlain(watch.end(), upstream);
  await turn();
  assert.ok(!app.isPaused);
  const late = Buffer.alloc(40_000, 7);
  app.feed(late);
  assert.ok(upstream.take().equals(Buffer.concat([early, late])));
  upstream.feed(Buffer.from("answer"));
  assert.equal(app.take().toString(), "answer");
  app.drop();
  assert.deepEqual([(await pair.done).end, upstream.wasReset], ["reset-by-app", true]);
});

test("a slow reader stops an early sender: nothing is resumed behind its back", async () => {
  const { app, clock, watch } = scene();
  await clock.advance(1_000);
  app.feed(Buffer.alloc(20_000, 1), 10_000);
  const upstream = new FakeHandle();
  upstream.stalled = true;
  relayPlain(watch.end(), upstream);
  await turn();
  assert.ok(app.isPaused);
  upstream.drain();
  assert.ok(!app.isPaused);
});

test("an end that came during the dial follows the bytes", async () => {
  const { app, clock, watch } = scene();
  await clock.advance(1_000);
  app.feed(Buffer.from("last words"));
  app.end();
  const upstream = new FakeHandle();
  relayPlain(watch.end(), upstream);
  await turn();
  assert.deepEqual([upstream.take().toString(), upstream.isShutdown], ["last words", true]);
});

test("a reset between the end of the dial and the start resets the other side", async () => {
  const { app, clock, watch } = scene();
  await clock.advance(1_000);
  const handle = watch.end();
  app.drop();
  await turn();
  const upstream = new FakeHandle();
  const pair = relayPlain(handle, upstream);
  assert.equal((await pair.done).end, "reset-by-app");
  assert.ok(upstream.wasReset);
});
