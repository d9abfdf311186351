/** A peer that does not read, with a forwarder between: whatever the other side sends, the bytes that wait stay below a bound, and all arrive. */
import assert from "node:assert/strict";
import test from "node:test";
import { Rig } from "../testing/http1-rig.ts";

const SIZE = 8 * 1024 * 1024;
const READ = 65_536;
/** docs/limits.md: out 64 KiB, kept 64 KiB, and a read on either side of each. */
const BOUND = 2 * 65_536 + 4 * READ;

test("a caller that does not read its answer holds the upstream, bounded", async () => {
  const rig = new Rig();
  await rig.send("GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n");
  const upstream = rig.upstreams[0]?.handle;
  assert.ok(upstream !== undefined);
  rig.caller.stalled = true;
  upstream.feed(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`));
  let sent = 0;
  const piece = Buffer.alloc(READ, "z");
  while (sent < SIZE) {
    if (upstream.isPaused) rig.caller.drain();
    else {
      upstream.feed(piece, READ);
      sent += READ;
    }
    await rig.settle();
    assert.ok(rig.caller.queuedBytes <= BOUND, `${rig.caller.queuedBytes} bytes wait`);
    assert.ok(sent - received(rig) <= BOUND, `${sent - received(rig)} bytes are held`);
  }
  while (rig.caller.queuedBytes > 0 || received(rig) < SIZE) {
    rig.caller.drain();
    await rig.settle();
  }
  assert.equal(received(rig), SIZE);
});

test("an upstream that does not read a request holds the caller, bounded", async () => {
  const rig = new Rig();
  await rig.send(`POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: ${SIZE}\r\n\r\n`);
  const upstream = rig.upstreams[0];
  assert.ok(upstream !== undefined);
  upstream.handle.stalled = true;
  let sent = 0;
  const piece = Buffer.alloc(READ, "z");
  const arrived = (): number => upstream.received.match(/z/g)?.length ?? 0;
  while (sent < SIZE) {
    if (rig.caller.isPaused) upstream.handle.drain();
    else {
      rig.caller.feed(piece, READ);
      sent += READ;
    }
    await rig.settle();
    assert.ok(upstream.handle.queuedBytes <= BOUND, `${upstream.handle.queuedBytes} bytes wait`);
  }
  while (arrived() < SIZE) {
    upstream.handle.drain();
    await rig.settle();
  }
  assert.equal(arrived(), SIZE);
  assert.equal(upstream.requests[0]?.body.length, SIZE);
});

function received(rig: Rig): number {
  return Math.max(0, rig.answered.length - rig.answered.indexOf("\r\n\r\n") - 4);
}
