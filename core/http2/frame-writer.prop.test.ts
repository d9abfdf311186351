/** Whatever is written from wherever it lies, stalled or not, arrives once, in order and unchanged. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { sharedReadBuffer } from "../handle/shared-read-buffers.ts";
import { FakeHandle } from "../testing/fake-handle.ts";
import { parseFrames } from "../testing/frames.ts";
import { FrameWriter } from "./frame-writer.ts";

const step = fc.oneof(
  fc.record({
    kind: fc.constant("data" as const),
    shared: fc.boolean(),
    offset: fc.constantFrom(0, 0, 1, 9),
    length: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 16_000, max: 60_000 })),
    maxFrameSize: fc.constantFrom(16_384, 1 << 20),
    skip: fc.constantFrom(0, 0, 5),
  }),
  fc.constantFrom({ kind: "stall" } as const, { kind: "drain" } as const, { kind: "control" } as const),
);

describe("frame writer", () => {
  for (const copiesOnWrite of [true, false]) {
    it(`sends what was written, on a handle that ${copiesOnWrite ? "copies" : "keeps"} it`, () => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
          const handle = new FakeHandle(copiesOnWrite);
          const writer = new FrameWriter(handle, { onWritten: () => undefined });
          const expected: Buffer[] = [];
          let fill = 0;
          for (const each of steps) {
            if (each.kind === "stall") handle.stalled = true;
            else if (each.kind === "control") writer.number(3, 7, 8);
            else if (each.kind === "drain") {
              handle.stalled = false;
              handle.drain();
              writer.onDrain();
            } else {
              const memory = each.shared ? sharedReadBuffer : Buffer.alloc(each.offset + each.length);
              const bytes = memory.subarray(each.offset, each.offset + each.length).fill(++fill);
              const start = Math.min(each.skip, each.length - 1);
              expected.push(Buffer.from(bytes.subarray(start)));
              writer.data(1, bytes, { start, end: bytes.length, maxFrameSize: each.maxFrameSize });
              bytes.fill(0); // the next read
            }
          }
          handle.stalled = false;
          handle.drain();
          writer.onDrain();
          assert.equal(writer.queuedBytes, 0);
          const frames = parseFrames(handle.take());
          const data = frames.filter(({ type }) => type === 0).map(({ payload }) => payload);
          assert.ok(Buffer.concat(data).equals(Buffer.concat(expected)));
          const controls = steps.filter(({ kind }) => kind === "control").length;
          assert.equal(frames.length - data.length, controls);
        }),
        { numRuns: 200 },
      );
    });
  }
});

describe("frame writer, large data on an idle connection", () => {
  const filled = (): Buffer => sharedReadBuffer.subarray(0, 40_000).fill(3);
  const range = { start: 0, end: 40_000, maxFrameSize: 1 << 20 };

  it("is written where it lies", () => {
    const handle = new FakeHandle(true);
    const writer = new FrameWriter(handle, { onWritten: () => undefined });
    const written: Uint8Array[] = [];
    const write = handle.write.bind(handle);
    handle.write = (bytes) => {
      written.push(bytes);
      return write(bytes);
    };
    writer.data(1, filled(), range);
    assert.equal(written[0]?.buffer, sharedReadBuffer.buffer);
    handle.stalled = true;
    writer.data(1, filled(), range);
    writer.data(1, filled(), range);
    assert.equal(written.length, 2, "the third waits");
    assert.equal(writer.isWriting, true);
    assert.equal(writer.pendingBytes, 40_009);
  });

  it("is copied when the handle would keep it", () => {
    const handle = new FakeHandle(false);
    const writer = new FrameWriter(handle, { onWritten: () => undefined });
    handle.stalled = true;
    writer.data(1, filled(), range);
    sharedReadBuffer.fill(4);
    handle.drain(); // asserts that nothing changed
    assert.equal(handle.take().length, 40_009);
  });
});
