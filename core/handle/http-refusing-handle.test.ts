import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeHandle } from "../testing/fake-handle.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { HttpRefusingHandle } from "./http-refusing-handle.ts";

function application() {
  const inner = new FakeHandle();
  const clock = createManualClock();
  let refusals = 0;
  const handle = new HttpRefusingHandle(inner, {
    clock,
    firstBytesMs: 10_000,
    onHttp: () => {
      refusals++;
      handle.reset();
    },
  });
  const read: string[] = [];
  handle.start({
    onData: (bytes) => void read.push(Buffer.from(bytes).toString("latin1")),
    onEnd: () => undefined,
    onDrain: () => undefined,
    onClose: () => undefined,
  });
  const send = (...texts: readonly string[]): void =>
    void (texts.length === 1
      ? handle.write(Buffer.from(texts[0] ?? ""))
      : handle.writev(texts.map((text) => Buffer.from(text))));
  const arrived = (): string => inner.take().toString("latin1");
  return { inner, handle, clock, read, send, arrived, refusals: () => refusals };
}

test("not one byte of a request reaches the application, in one piece or byte by byte", () => {
  for (const text of [
    "GET /admin HTTP/1.1\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\r\npost /x HTTP/1.0\r\n",
  ]) {
    const whole = application();
    whole.send(text);
    const slow = application();
    for (const byte of text) slow.send(byte);
    const pieces = application();
    pieces.send(text.slice(0, 2), text.slice(2));
    for (const one of [whole, slow, pieces]) {
      assert.equal(one.refusals(), 1, text);
      assert.ok(one.inner.wasReset);
      assert.equal(one.arrived(), "");
    }
  }
});

test("what could become HTTP waits, and is refused when it says no more", async () => {
  const { send, clock, refusals, arrived } = application();
  send("GE");
  await clock.advance(9_999);
  assert.equal(refusals(), 0);
  await clock.advance(1);
  assert.deepEqual([refusals(), arrived()], [1, ""]);
});

test("everything else arrives whole and in order, and is not looked at again", async () => {
  const { send, clock, handle, inner, refusals, arrived } = application();
  send("EH");
  assert.equal(arrived(), "");
  send("LO", " x\r\n");
  send("GET / HTTP/1.1\r\n");
  await clock.advance(60_000);
  handle.shutdown();
  assert.equal(arrived(), "EHLO x\r\nGET / HTTP/1.1\r\n");
  assert.deepEqual([refusals(), inner.isShutdown], [0, true]);
});

test("the application speaks first, and a caller that ended in the middle of a word is no HTTP", () => {
  const { inner, read, send, handle, arrived } = application();
  inner.feed(Buffer.from("220 ready\r\n"));
  assert.deepEqual(read, ["220 ready\r\n"]);
  send("QUIT");
  handle.shutdown();
  assert.equal(arrived(), "QUIT");
});
