import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pinnedRingCount } from "../handle/read-ring.ts";
import { FakeHandle } from "../testing/fake-handle.ts";
import { connectBlock, data, headers, PREFACE, settings } from "../testing/frames.ts";
import { createManualClock, settle } from "../testing/manual-clock.ts";
import type { DeliveryResult, Http2Stream } from "./http2-stream.ts";
import { Http2Session } from "./session.ts";

type Take = (streamId: number, pieces: readonly Uint8Array[]) => DeliveryResult;

function server(take: Take) {
  const handle = new FakeHandle();
  const streams: Http2Stream[] = [];
  const session = new Http2Session(handle, {
    role: "server",
    clock: createManualClock(),
    events: {
      onRequest: (stream) => {
        streams.push(stream);
        stream.events = {
          onHeaders: () => undefined,
          onData: (pieces) => take(stream.id, pieces),
          onEnd: () => undefined,
          onWritable: () => undefined,
          onReset: () => undefined,
        };
      },
      onClose: () => undefined,
    },
  });
  handle.feed(Buffer.concat([PREFACE, settings()]));
  return { handle, session, streams };
}

describe("delivery of DATA", () => {
  it("gathers one stream's payload across frame headers, and parts at another stream", async () => {
    const calls: string[] = [];
    const { handle } = server((id, pieces) => {
      calls.push(`${id}: ${pieces.map((piece) => Buffer.from(piece).toString()).join("|")}`);
      return "consumed";
    });
    const opens = Buffer.concat([headers(1, connectBlock()), headers(3, connectBlock())]);
    handle.feed(Buffer.concat([opens, data(1, "a"), data(1, "bc"), data(3, "d"), data(1, "e")]));
    await settle();
    assert.deepEqual(calls, ["1: a|bc", "3: d", "1: e"]);
  });

  it("pins the read memory of stalled streams in full, copies beyond 32, and gives all back", async () => {
    let held = 0;
    let copied = 0;
    const payload = Buffer.alloc(16_375, 7);
    const { handle, streams } = server((_id, pieces) => {
      for (const piece of pieces) assert.ok(piece.every((octet) => octet === 7));
      if (pieces[0]?.buffer.byteLength === 1 << 20) held++;
      else copied++;
      return "held";
    });
    const count = 60;
    for (let i = 0; i < count; i++) handle.feed(headers(2 * i + 1, connectBlock()));
    // Full reads lead to the large buffer; then every stream pins whatever ring is current.
    for (let round = 0; round < 14; round++) {
      for (let i = 0; i < count; i++) handle.feed(data(2 * i + 1, payload));
    }
    await settle();
    assert.ok(held > 0 && copied > 0);
    assert.ok(pinnedRingCount() <= 32, `${pinnedRingCount()} rings are pinned`);
    for (const stream of streams) stream.reset();
    handle.drop();
    await settle();
    for (const stream of streams) stream.consumed(0);
    assert.equal(pinnedRingCount(), 0);
  });
});
