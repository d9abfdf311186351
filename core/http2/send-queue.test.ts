/** What a sender does with a peer that credits only what its application has taken, as other meshes' proxies do. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeHandle } from "../testing/fake-handle.ts";
import { frame, parseFrames, settings, windowUpdate } from "../testing/frames.ts";
import { createManualClock, type ManualClock, settle } from "../testing/manual-clock.ts";
import { headerField } from "./hpack/header-field.ts";
import type { Http2Stream } from "./http2-stream.ts";
import { Http2Session } from "./session.ts";

const MIB = 1 << 20;
const STREAM_WINDOW = 4 * MIB;
const CONNECTION_WINDOW = 16 * MIB;
const PIECE = Buffer.alloc(64 * 1024);

interface Sender {
  readonly session: Http2Session;
  readonly handle: FakeHandle;
  readonly clock: ManualClock;
  open(): Http2Stream;
  /** Writes like a relay that always has more, until a window holds it up; returns what went out for this stream. */
  fill(stream: Http2Stream): Promise<number>;
}

function sender(streamWindow = STREAM_WINDOW, connectionWindow = CONNECTION_WINDOW): Sender {
  const handle = new FakeHandle();
  const clock = createManualClock();
  const session = new Http2Session(handle, { role: "client", clock, events: { onClose: () => undefined } });
  handle.feed(
    Buffer.concat([
      settings([4, streamWindow], [5, MIB]),
      frame(4, 1, 0),
      windowUpdate(0, connectionWindow - 65_535),
    ]),
  );
  handle.take();
  const open = (): Http2Stream => {
    const stream = session.openStream([headerField(":method", "CONNECT"), headerField(":authority", "a:1")], {
      onHeaders: () => undefined,
      onData: () => "consumed",
      onEnd: () => undefined,
      onWritable: () => undefined,
      onReset: () => undefined,
    });
    assert.ok(stream !== undefined);
    return stream;
  };
  const fill = async (stream: Http2Stream): Promise<number> => {
    let sent = 0;
    while (stream.blocked === "no" || stream.blocked === "output") {
      if (stream.blocked === "no") stream.write(PIECE);
      await settle();
      sent += sentOn(handle, stream.id);
    }
    return sent;
  };
  return { session, handle, clock, open, fill };
}

function sentOn(handle: FakeHandle, streamId: number): number {
  return parseFrames(handle.take())
    .filter((each) => each.type === 0 && each.streamId === streamId)
    .reduce((sum, { payload }) => sum + payload.length, 0);
}

describe("a peer that credits on consumption", () => {
  for (const order of ["one after the other", "a second apart"] as const) {
    it(`six streams that stand still, filled ${order}, leave room for the seventh`, async () => {
      const { session, clock, open, fill } = sender();
      const seventh = open();
      for (let i = 0; i < 6; i++) {
        const sent = await fill(open());
        assert.ok(
          sent > STREAM_WINDOW / 2,
          "peers credit at half of the window: less would never be credited",
        );
        if (order === "a second apart") await clock.advance(1_100);
      }
      assert.ok((await fill(seventh)) >= MIB, "the seventh goes on");
      assert.equal(session.isDraining, false);
    });
  }

  it("a stream that is credited is not held back by those that stand still", async () => {
    const { handle, open, fill } = sender();
    const moving = open();
    for (let i = 0; i < 4; i++) await fill(open());
    let sent = await fill(moving);
    for (let i = 0; i < 8; i++) {
      assert.ok(sent > 0, `round ${i}`);
      handle.feed(Buffer.concat([windowUpdate(moving.id, sent), windowUpdate(0, sent)]));
      sent = sentOn(handle, moving.id) + (await fill(moving));
    }
  });

  it("a peer with a small window is not second-guessed: all that it allows is sent", async () => {
    const { open, fill } = sender(MIB, 1_500_000);
    assert.equal(await fill(open()), MIB);
  });

  it("a connection whose window is nearly used up says so, and no longer when it was credited", async () => {
    const { session, handle, clock, open, fill } = sender();
    for (let i = 0; i < 20; i++) await fill(open());
    await clock.advance(100);
    assert.equal(session.congestedMs(), 100);
    handle.feed(windowUpdate(0, 4 * MIB));
    const left = session.congestedMs();
    assert.ok(left === 0 || left < 100, "counted anew");
  });
});
