import assert from "node:assert/strict";
import { test } from "node:test";
import { ip } from "../net/ip.ts";
import { HandshakeLimiter } from "./handshake-limiter.ts";

test("one source cannot take all places, and places come back exactly once", () => {
  const limiter = new HandshakeLimiter({ perPod: 3, perSource: 2 });
  const [a, b] = [ip("10.0.0.1"), ip("10.0.0.2")];
  const first = limiter.tryEnter(a);
  assert.ok(first && limiter.tryEnter(a));
  assert.equal(limiter.tryEnter(a), undefined);
  assert.ok(limiter.tryEnter(b));
  assert.equal(limiter.tryEnter(b), undefined, "the pod is full");
  first();
  first();
  assert.ok(limiter.tryEnter(b));
  assert.equal(limiter.tryEnter(a), undefined, "only one place was given back");
});
