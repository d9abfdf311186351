import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeHandle } from "#core/testing/fake-handle.ts";
import { createManualClock } from "#core/testing/manual-clock.ts";
import { InspectedHandle } from "./inspected-handle.ts";

function inspect() {
  const inner = new FakeHandle();
  const clock = createManualClock();
  const seen: string[] = [];
  const handle = new InspectedHandle(inner, {
    clock,
    firstBytesMs: 100,
    onHttp: () => {
      seen.push("HTTP");
      inner.reset();
    },
  });
  handle.start({
    onData: (bytes) => void seen.push(Buffer.from(bytes).toString("latin1")),
    onEnd: () => void seen.push("end"),
    onDrain: () => undefined,
    onClose: () => undefined,
  });
  return { inner, clock, seen, feed: (text: string) => inner.feed(Buffer.from(text, "latin1")) };
}

test("HTTP never passes, in one piece or byte by byte", () => {
  for (const text of ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\r\npost /x HTTP/1.0\r\n"]) {
    const whole = inspect();
    whole.feed(text);
    assert.deepEqual(whole.seen, ["HTTP"], text);
    const slow = inspect();
    for (const byte of text) slow.feed(byte);
    assert.deepEqual(slow.seen, ["HTTP"], text);
  }
});

test("what could become HTTP waits, and is refused when it says no more", async () => {
  const { seen, feed, clock } = inspect();
  feed("GE");
  assert.deepEqual(seen, []);
  await clock.advance(99);
  assert.deepEqual(seen, []);
  await clock.advance(1);
  assert.deepEqual(seen, ["HTTP"]);
});

test("everything else passes whole and in order, and is not looked at again", async () => {
  const { seen, feed, clock, inner } = inspect();
  feed("EH");
  feed("LO x\r\n");
  feed("GET / HTTP/1.1\r\n");
  await clock.advance(1_000);
  inner.end();
  assert.deepEqual(seen, ["EHLO x\r\n", "GET / HTTP/1.1\r\n", "end"]);
});

test("a caller that ended in the middle is no HTTP", () => {
  const { seen, feed, inner } = inspect();
  feed("QUIT");
  inner.end();
  assert.deepEqual(seen, ["QUIT", "end"]);
});
