import assert from "node:assert/strict";
import { test } from "node:test";
import { answerText, requestText } from "./http-text.ts";
import { MessageCounter } from "./message-counter.ts";

for (const size of [1, 7, 1_000, 100_000])
  test(`messages are counted in pieces of ${size} bytes`, () => {
    const stream = Buffer.concat([
      answerText(),
      answerText(),
      Buffer.from("HTTP/1.1 503 No\r\na: b\r\n\r\n"),
    ]);
    const seen: string[] = [];
    const counter = new MessageCounter((status) => seen.push(status));
    for (let at = 0; at < stream.length; at += size) counter.feed(stream.subarray(at, at + size));
    assert.deepEqual(seen, ["200", "200", "503"]);
  });

test("requests end with their head, and have as many fields as they should", () => {
  for (const count of [4, 20] as const) {
    const seen: string[] = [];
    new MessageCounter((method) => seen.push(method)).feed(requestText(count));
    assert.deepEqual(seen, ["GET"]);
    const lines = requestText(count).toString().trim().split("\r\n");
    assert.equal(lines.length - 1, count);
  }
});
