import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { FloodGuard, TokenBucket } from "./flood-limits.ts";

/** How often `action` is allowed in a row. */
function allowed(action: () => boolean, tries: number): number {
  let count = 0;
  while (count < tries && action()) count++;
  return count;
}

test("200 resets at once, then no more", () => {
  const guard = new FloodGuard(0);
  assert.equal(
    allowed(() => guard.onReset(0), 1_000),
    200,
  );
});

test("50 resets per second are sustained, 51 are not for ever", () => {
  const steady = new FloodGuard(0);
  for (let i = 1; i <= 5_000; i++) assert.ok(steady.onReset(i * 20), `reset ${i}`);
  const faster = new FloodGuard(0);
  let i = 1;
  while (i < 50_000 && faster.onReset(i * (1_000 / 51))) i++;
  assert.ok(i > 200 && i < 50_000);
});

test("an hour of calm gives no more than the capacity", () => {
  const guard = new FloodGuard(0);
  assert.ok(guard.onReset(0));
  assert.equal(
    allowed(() => guard.onReset(3_600_000), 1_000),
    200,
  );
});

test("10,000 control frames at once; a second later 1,000 more", () => {
  const guard = new FloodGuard(0);
  assert.equal(
    allowed(() => guard.onControlFrame(0), 100_000),
    10_000,
  );
  assert.equal(
    allowed(() => guard.onControlFrame(1_000), 100_000),
    1_000,
  );
});

test("each KiB of DATA pays for one control frame, in whatever pieces it comes", () => {
  const guard = new FloodGuard(0);
  allowed(() => guard.onControlFrame(0), 100_000);
  for (let i = 0; i < 1_024; i++) guard.onData(100);
  assert.equal(
    allowed(() => guard.onControlFrame(0), 100_000),
    100,
  );
});

test("DATA does not fill the bucket above its capacity", () => {
  const guard = new FloodGuard(0);
  guard.onData(1 << 30);
  assert.equal(
    allowed(() => guard.onControlFrame(0), 100_000),
    10_000,
  );
});

test("resets and control frames are counted apart", () => {
  const guard = new FloodGuard(0);
  allowed(() => guard.onReset(0), 1_000);
  assert.ok(guard.onControlFrame(0));
});

test("a clock that stands still or runs backwards gives nothing", () => {
  const bucket = new TokenBucket({ capacity: 1, perSecond: 1_000 }, 5_000);
  assert.deepEqual(
    [bucket.take(5_000), bucket.take(5_000), bucket.take(1), bucket.take(2)],
    [true, false, false, true],
  );
});

test("header blocks: 64 KiB and 8 CONTINUATION frames, empty ones too", () => {
  const guard = new FloodGuard(0);
  assert.deepEqual([guard.onHeaders(65_536), guard.onHeaders(65_537)], [true, false]);
  guard.onHeaders(0);
  assert.equal(
    allowed(() => guard.onContinuation(0), 100),
    8,
  );
  guard.onHeaders(16_384);
  assert.deepEqual(
    [16_384, 16_384, 16_384, 1].map((bytes) => guard.onContinuation(bytes)),
    [true, true, true, false],
  );
});

test("a new header block starts with fresh bounds", () => {
  const guard = new FloodGuard(0);
  for (let block = 0; block < 100; block++) {
    assert.ok(guard.onHeaders(1_000));
    assert.equal(
      allowed(() => guard.onContinuation(1_000), 8),
      8,
    );
  }
});

test("a bucket never allows more than capacity + rate x time", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(300), { maxLength: 200 }),
      fc.integer({ min: 1, max: 20 }),
      (gapsMs, capacity) => {
        const bucket = new TokenBucket({ capacity, perSecond: 10 }, 0);
        let nowMs = 0;
        let taken = 0;
        for (const gap of gapsMs) {
          nowMs += gap;
          if (bucket.take(nowMs)) taken++;
          assert.ok(taken <= capacity + nowMs / 100 + 1e-6);
        }
      },
    ),
  );
});
