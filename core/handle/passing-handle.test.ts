import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { FakeHandle } from "../testing/fake-handle.ts";
import type { ReadBuffers } from "./handle.ts";
import { PassingHandle } from "./passing-handle.ts";

/** Looks at one read, which it keeps to itself. */
class OnceKept extends PassingHandle {
  protected override onFirstData(): void {
    this.pass();
  }
}

function kept() {
  const inner = new FakeHandle();
  const handle = new OnceKept(inner);
  const seen: string[] = [];
  const lent: number[] = [];
  const memory = Buffer.alloc(16 * 1024);
  const buffers: ReadBuffers = {
    next: (filled) => {
      lent.push(filled);
      return memory;
    },
  };
  handle.start(
    {
      onData: (bytes) => void seen.push(Buffer.from(bytes).toString("latin1")),
      onEnd: () => void seen.push("end"),
      onDrain: () => void seen.push("drain"),
      onClose: () => void seen.push("close"),
    },
    buffers,
  );
  inner.start(handle, handle);
  return { inner, handle, seen, lent, memory };
}

test("before it passes reads go into memory of its own, then into the owner's, told what was read there alone", () => {
  const { handle, lent, memory } = kept();
  assert.notEqual(handle.next(0), memory);
  handle.onData(Buffer.from("first"));
  assert.equal(handle.next(5), memory);
  assert.equal(handle.next(7), memory);
  assert.deepEqual(lent, [0, 7]);
});

test("everything else passes, both ways", async () => {
  const { inner, handle, seen } = kept();
  inner.feed(Buffer.from("first"));
  inner.feed(Buffer.from("second"));
  inner.stalled = true;
  handle.write(Buffer.from("x"));
  assert.equal(handle.queuedBytes, 1);
  inner.drain();
  handle.pause();
  assert.ok(inner.isPaused);
  handle.resume();
  assert.ok(!inner.isPaused);
  inner.end();
  handle.shutdown();
  assert.ok(inner.isShutdown);
  handle.reset();
  assert.ok(inner.wasReset && handle.closed);
  await setImmediate();
  assert.deepEqual(seen, ["second", "drain", "end", "close"]);
});
