import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeHandle } from "../testing/fake-handle.ts";
import { parseFrames, summary } from "../testing/frames.ts";
import { settle } from "../testing/manual-clock.ts";
import { FrameType } from "./frame-types.ts";
import { FrameWriter } from "./frame-writer.ts";

const HEAD = Buffer.from([0x88]);
const WHOLE = { endStream: false, maxFrameSize: 16_384 };

interface Written {
  readonly handle: FakeHandle;
  readonly writer: FrameWriter;
  data(streamId: number, text: string): void;
  take(): string[];
}

function gathering(): Written {
  const handle = new FakeHandle();
  const writer = new FrameWriter(handle, { onWritten: () => undefined, gathers: true });
  return {
    handle,
    writer,
    data: (streamId, text) => {
      const bytes = Buffer.from(text);
      writer.data(streamId, bytes, { start: 0, end: bytes.length, maxFrameSize: 16_384 });
    },
    take: () => summary(parseFrames(handle.take())),
  };
}

describe("a writer that gathers", () => {
  it("sends what a turn of the loop brought at its end, all at once", async () => {
    const { handle, writer, data, take } = gathering();
    let writes = 0;
    const { write } = handle;
    handle.write = (bytes) => {
      writes++;
      return write.call(handle, bytes);
    };
    for (const streamId of [1, 3, 5]) {
      writer.headers(streamId, HEAD, WHOLE);
      data(streamId, "ok");
      writer.endStream(streamId);
    }
    assert.deepEqual(take(), []);
    await settle();
    assert.equal(writes, 1);
    const ends = (id: number): string[] => [`HEADERS ${id}`, `DATA ${id} 2`, `END ${id}`];
    assert.deepEqual(take(), [...ends(1), ...ends(3), ...ends(5)]);
  });

  it("ends a stream on its last frame, but only if that can still be changed and is the stream's", async () => {
    const { writer, data, handle, take } = gathering();
    writer.headers(1, HEAD, WHOLE);
    writer.endStream(1);
    data(3, "a");
    data(5, "b");
    writer.endStream(3);
    data(7, "c");
    await settle();
    const flags = parseFrames(handle.take()).map((each) => [
      each.type,
      each.streamId,
      each.flags,
      each.payload.length,
    ]);
    assert.deepEqual(flags, [
      [1, 1, 5, 1],
      [0, 3, 0, 1],
      [0, 5, 0, 1],
      [0, 3, 1, 0],
      [0, 7, 0, 1],
    ]);
    writer.endStream(7);
    await settle();
    assert.deepEqual(take(), ["DATA 7 0", "END 7"]);
  });

  it("does not end a stream in the middle of a header block", async () => {
    const { writer, handle } = gathering();
    writer.headers(1, Buffer.alloc(20_000, 0x88), WHOLE);
    writer.endStream(1);
    await settle();
    const flags = parseFrames(handle.take()).map((each) => [each.type, each.flags]);
    assert.deepEqual(flags, [
      [1, 0],
      [9, 4],
      [0, 1],
    ]);
  });

  it("sends much at once, and the last things before it finishes", () => {
    const { writer, data, take } = gathering();
    data(1, "x".repeat(40_000));
    assert.deepEqual(take(), ["DATA 1 16384", "DATA 1 16384", "DATA 1 7232"]);
    writer.control(FrameType.GOAWAY, 0, 0, Buffer.alloc(8));
    assert.deepEqual(take(), []);
    let isFinished = false;
    writer.finish(() => {
      isFinished = true;
    });
    assert.deepEqual([take(), isFinished], [["GOAWAY 0"], true]);
  });
});
