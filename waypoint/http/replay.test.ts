import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClientExchange } from "#core/http/exchange.ts";
import { Replay } from "./replay.ts";

function recorder(result: "more" | "pause" = "more"): { sent: string[]; exchange: ClientExchange } {
  const sent: string[] = [];
  const exchange: ClientExchange = {
    write: (bytes) => {
      sent.push(Buffer.from(bytes).toString());
      return result;
    },
    end: () => void sent.push("end"),
    abort: () => undefined,
    pause: () => undefined,
    resume: () => undefined,
  };
  return { sent, exchange };
}

test("what came is sent again as it came, with its end only if that has come", () => {
  const replay = new Replay();
  const piece = Buffer.from("one");
  replay.keep(piece);
  piece.fill("x"); // The caller's memory is used again.
  const first = recorder();
  assert.equal(replay.sendTo(first.exchange), "more");
  assert.deepEqual(first.sent, ["one"]);
  replay.keep(Buffer.from("two"));
  replay.end([]);
  const second = recorder("pause");
  assert.equal(replay.sendTo(second.exchange), "pause");
  assert.deepEqual(second.sent, ["one", "two", "end"]);
});

test("beyond 64 KiB nothing is kept, and nothing can be sent again", () => {
  const replay = new Replay();
  replay.keep(Buffer.alloc(64 * 1024));
  assert.equal(replay.isWhole, true);
  replay.keep(Buffer.alloc(1));
  assert.equal(replay.isWhole, false);
  const { sent, exchange } = recorder();
  replay.sendTo(exchange);
  assert.deepEqual(sent, []);
});
