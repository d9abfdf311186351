import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { frame, PREFACE } from "../testing/frames.ts";
import { FloodGuard } from "./flood-limits.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";

/** Events with DATA joined: where one read ends and the next begins must not matter. */
function events(bytes: Buffer, cuts: readonly number[]): string[] {
  const log: string[] = [];
  let text = "";
  const sink: FrameSink = {
    onDataFrame: (streamId, flowBytes) => void log.push(`data ${streamId} ${flowBytes}`),
    onDataBytes: (chunk, start, end) => {
      assert.ok(end > start && end <= chunk.length);
      text += Buffer.from(chunk.subarray(start, end)).toString("hex");
    },
    onDataEnd: (endStream) => {
      log.push(`end ${endStream} ${text}`);
      text = "";
    },
    onHeaderBlock: (streamId, block, endStream) =>
      void log.push(`block ${streamId} ${endStream} ${Buffer.from(block).toString("hex")}`),
    onControlFrame: ({ type, flags, streamId, length }, payload) =>
      void log.push(
        `frame ${type} ${flags} ${streamId} ${length} ${Buffer.from(payload.subarray(0, 512)).toString("hex")}`,
      ),
    onFrameError: (code) => void log.push(`error ${code}`),
  };
  const reader = new FrameReader({
    sink,
    guard: new FloodGuard(0),
    expectPreface: true,
    maxFrameSize: 16_384,
  });
  let at = 0;
  for (const cut of [...cuts].toSorted((a, b) => a - b)) {
    const end = Math.min(bytes.length, cut);
    if (end > at) reader.push(Buffer.from(bytes.subarray(at, end)));
    at = Math.max(at, end);
  }
  if (at < bytes.length) reader.push(Buffer.from(bytes.subarray(at)));
  return log;
}

const anyFrame = fc
  .record({
    type: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(0, 1, 9) }, { weight: 3, arbitrary: fc.nat(12) }),
    flags: fc.oneof(fc.constantFrom(0, 1, 4, 5, 8, 9, 12, 13, 0x20, 0x2c), fc.nat(255)),
    streamId: fc.constantFrom(0, 1, 1, 1, 3),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 600, maxLength: 900 }),
    ),
  })
  .map(({ type, flags, streamId, payload }) => frame(type, flags, streamId, payload));

it("gives the same events for any split of the bytes", () => {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { maxLength: 12 }),
      fc.array(fc.nat(3_000), { maxLength: 40 }),
      fc.boolean(),
      (frames, cuts, hasPreface) => {
        const bytes = Buffer.concat([hasPreface ? PREFACE : PREFACE.subarray(3), ...frames]);
        const whole = events(bytes, []);
        assert.deepEqual(events(bytes, cuts), whole);
        assert.deepEqual(
          events(
            bytes,
            Array.from({ length: bytes.length }, (_, i) => i),
          ),
          whole,
        );
      },
    ),
    { numRuns: 400 },
  );
});

it("takes arbitrary bytes without throwing", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 2_000 }),
      (bytes) => void events(Buffer.concat([PREFACE, bytes]), [7, 100, 101]),
    ),
  );
});
