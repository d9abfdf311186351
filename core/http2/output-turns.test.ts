/** Many streams with much to send share one connection: one read at a time, everyone in turn, nobody forgotten. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { FakeHandle } from "../testing/fake-handle.ts";
import { frame, settings, windowUpdate } from "../testing/frames.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { headerField } from "./hpack/header-field.ts";
import type { Http2Stream } from "./http2-stream.ts";
import { Http2Session } from "./session.ts";

const MIB = 1 << 20;
const READ = Buffer.alloc(100 * 1024);

interface Line {
  readonly handle: FakeHandle;
  readonly streams: readonly Http2Stream[];
  /** Indices of the streams that were told to go on, since the last call. */
  resumed(): readonly number[];
}

function line(count: number): Line {
  const handle = new FakeHandle(true);
  const clock = createManualClock();
  const session = new Http2Session(handle, { role: "client", clock, events: { onClose: () => undefined } });
  handle.feed(Buffer.concat([settings([4, 8 * MIB], [5, MIB]), frame(4, 1, 0), windowUpdate(0, 64 * MIB)]));
  let resumed: number[] = [];
  const streams = Array.from({ length: count }, (_, index) => {
    const stream = session.openStream([headerField(":method", "CONNECT"), headerField(":authority", "a:1")], {
      onHeaders: () => undefined,
      onData: () => "consumed",
      onEnd: () => undefined,
      onWritable: () => void resumed.push(index),
      onReset: () => undefined,
    });
    assert.ok(stream !== undefined);
    return stream;
  });
  return {
    handle,
    streams,
    resumed: () => {
      const now = resumed;
      resumed = [];
      return now;
    },
  };
}

/** All have written once and wait behind the first one's write. */
function busy(count: number): Line {
  const all = line(count);
  all.handle.stalled = true;
  for (const stream of all.streams) assert.equal(stream.write(READ), "pause");
  assert.deepEqual(all.resumed(), []);
  return all;
}

describe("output turns", () => {
  it("bulk waits behind its own write, small writes do not", () => {
    const { handle, streams } = line(2);
    handle.stalled = true;
    assert.equal(streams[0]?.write(READ), "pause");
    assert.equal(streams[1]?.write(Buffer.alloc(100)), "more");
  });

  it("nobody waits while nothing is being written", () => {
    const { streams } = line(1);
    for (let i = 0; i < 4; i++) assert.equal(streams[0]?.write(READ), "more");
  });

  it("one read at a time, everyone in turn", async () => {
    const { handle, streams, resumed } = busy(3);
    const order: number[] = [];
    handle.drain(); // what gathered at first goes out
    for (let i = 0; i < 6; i++) {
      handle.drain();
      const now = resumed();
      assert.equal(now.length, 1, `turn ${i}`);
      order.push(...now);
      await turn();
      assert.equal(streams[now[0] as number]?.write(READ), "pause");
      assert.deepEqual(resumed(), []);
    }
    assert.deepEqual(
      order.slice(0, 3).toSorted((a, b) => a - b),
      [0, 1, 2],
    );
    assert.deepEqual(order.slice(3), order.slice(0, 3), "in the same order again");
  });

  it("a stream that has nothing to send loses its turn to the next", async () => {
    const { handle, resumed } = busy(4);
    handle.stalled = false;
    handle.drain();
    handle.drain();
    for (let i = 0; i < 12; i++) await turn();
    assert.deepEqual(
      resumed().toSorted((a, b) => a - b),
      [0, 1, 2, 3],
    );
  });

  it("a stream that ended while it waited is passed over", async () => {
    const { handle, streams, resumed } = busy(3);
    streams[0]?.reset();
    streams[1]?.reset();
    handle.stalled = false;
    handle.drain();
    handle.drain();
    for (let i = 0; i < 12; i++) await turn();
    assert.deepEqual(resumed(), [2]);
  });

  it("while the peer takes nothing, the loop is not kept busy", async () => {
    const { resumed } = busy(3);
    for (let i = 0; i < 12; i++) await turn();
    assert.deepEqual(resumed(), []);
  });
});
