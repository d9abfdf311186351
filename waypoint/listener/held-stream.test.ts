import assert from "node:assert/strict";
import { test } from "node:test";
import type { HboneStream, HboneStreamEvents, StreamLoss } from "#core/hbone/hbone-stream.ts";
import { HeldStream } from "./held-stream.ts";

class FakeStream implements HboneStream {
  isOpen = false;
  credited = 0;
  events: HboneStreamEvents | undefined;

  start(events: HboneStreamEvents): void {
    this.events = events;
  }

  write(): "more" {
    return "more";
  }

  end(): void {}

  reset(): void {}

  consumed(byteCount: number): void {
    this.credited += byteCount;
  }

  feed(text: string): unknown {
    return this.events?.onTunnelData([Buffer.from(text)], text.length);
  }
}

function taker(seen: string[], result: "consumed" | "copied"): HboneStreamEvents {
  return {
    onTunnelData: (pieces) => {
      seen.push(Buffer.concat(pieces).toString());
      return result;
    },
    onTunnelEnd: () => void seen.push("end"),
    onTunnelWritable: () => undefined,
    onTunnelLoss: (loss) => void seen.push(loss.kind),
  };
}

for (const result of ["consumed", "copied"] as const) {
  test(`what came before is delivered once, in order, and credited when it is ${result}`, () => {
    const stream = new FakeStream();
    const watched: string[] = [];
    const held = new HeldStream(stream, {
      onBytes: (bytes) => void watched.push(Buffer.from(bytes).toString()),
      onEnd: () => void watched.push("end"),
      onLoss: () => undefined,
    });
    assert.equal(stream.feed("one "), "copied");
    assert.equal(stream.feed("two "), "copied");
    assert.equal(stream.credited, 0);
    stream.events?.onTunnelEnd();
    assert.deepEqual(watched, ["one ", "one two ", "end"]);
    const seen: string[] = [];
    held.start(taker(seen, result));
    assert.deepEqual(seen, ["one two ", "end"]);
    assert.equal(stream.credited, result === "consumed" ? 8 : 0);
    assert.equal(stream.feed("three"), result);
    assert.deepEqual(seen.at(-1), "three");
    assert.equal(watched.length, 3);
  });
}

test("an answer and a loss are told to whoever watches, a loss also to whoever comes later", () => {
  const stream = new FakeStream();
  const watched: string[] = [];
  const held = new HeldStream(stream, {
    onOpen: () => void watched.push("open"),
    onLoss: (loss: StreamLoss) => void watched.push(loss.kind),
  });
  stream.events?.onTunnelOpen?.();
  stream.events?.onTunnelLoss({ kind: "refused", status: 503 });
  assert.deepEqual(watched, ["open", "refused"]);
  const seen: string[] = [];
  held.start(taker(seen, "consumed"));
  assert.deepEqual(seen, ["refused"]);
});
