import assert from "node:assert/strict";
import test from "node:test";
import type { BodyFraming } from "../http/message.ts";
import { BodyReader } from "./body-reader.ts";

interface Outcome {
  readonly data: string;
  readonly rest: string;
  readonly done: boolean;
  readonly failure: string | undefined;
}

function read(framing: BodyFraming, text: string, size: number): Outcome {
  const reader = new BodyReader();
  reader.start(framing);
  let data = "";
  let consumed = 0;
  for (let at = 0; at < text.length && !reader.done && reader.failure === undefined; at += size) {
    const piece = Buffer.from(text.slice(at, at + size), "latin1");
    let from = 0;
    while (from < piece.length && !reader.done && reader.failure === undefined) {
      from = reader.read(piece, from, piece.length);
      data += piece.toString("latin1", reader.dataStart, reader.dataEnd);
    }
    consumed = at + from;
  }
  return { data, rest: text.slice(consumed), done: reader.done, failure: reader.failure };
}

const MARKED = { kind: "marked" } as const;

const bad: readonly (readonly [text: string, failure: string])[] = [
  ["\r\n\r\n", "chunk size is not a number"],
  ["5\nhello", "chunk size is not a number"],
  ["5\rhello", "chunk size is not a number"],
  ["5 \r\nhello", "chunk size is not a number"],
  [" 5\r\nhello", "chunk size is not a number"],
  ["-1\r\n", "chunk size is not a number"],
  ["0x5\r\nhello", "chunk size is not a number"],
  ["00000000000000000\r\n", "chunk size is not a number"],
  ["20000000000000\r\n", "chunk size is not a number"],
  ["8000000000000005\r\nhello", "chunk size is not a number"],
  ["5;a=b\r\nhello", "chunk extension"],
  ["0;\r\n\r\n", "chunk extension"],
  ["5\r\nhello!\r\n", "chunk does not end where its size says"],
  ["5\r\nhello\n", "chunk does not end where its size says"],
  ["5\r\nhello\rX", "chunk does not end where its size says"],
  ["0\r\n\n", "line feed without carriage return"],
  ["0\r\n x: y\r\n\r\n", "folded field line"],
  ["0\r\nx\r\n\r\n", "field name is no token, or no colon behind it"],
  ["0\r\n: y\r\n\r\n", "field name is no token, or no colon behind it"],
  [`0\r\nx: ${"a".repeat(9_000)}\r\n\r\n`, "trailers too large"],
  [`0\r\n${"x: y\r\n".repeat(65)}\r\n`, "trailers too large"],
];

for (const [text, failure] of bad) {
  test(`is refused in every cut: ${JSON.stringify(text.slice(0, 24))}`, () => {
    for (const size of [1, 2, 3, 10_000])
      assert.equal(read(MARKED, text, size).failure, failure, `cut by ${size}`);
  });
}

test("the largest chunk is legal; leading zeros up to 16 digits too", () => {
  assert.deepEqual(read(MARKED, "1fffffffffffff\r\nab", 1), {
    data: "ab",
    rest: "",
    done: false,
    failure: undefined,
  });
  const zeros = read(MARKED, "0000000000000002\r\nab\r\n0000\r\n\r\n", 3);
  assert.deepEqual(zeros, { data: "ab", rest: "", done: true, failure: undefined });
});

test("a reader is used for one body after the other, whatever the one before was", () => {
  const reader = new BodyReader();
  const bytes = Buffer.from("0\r\nx: y\r\n\r\n");
  for (let i = 0; i < 2; i++) {
    reader.start(MARKED);
    let at = 0;
    while (at < bytes.length && !reader.done) at = reader.read(bytes, at, bytes.length);
    assert.deepEqual([reader.done, reader.failure, reader.trailers.length], [true, undefined, 1]);
    reader.start({ kind: "length", bytes: 0 });
    assert.deepEqual([reader.done, reader.trailers.length], [true, 0]);
  }
});

test("by length, to the octet; until the connection ends, everything; none, nothing", () => {
  for (const size of [1, 2, 100]) {
    assert.deepEqual(read({ kind: "length", bytes: 5 }, "hello GET", size), {
      data: "hello",
      rest: " GET",
      done: true,
      failure: undefined,
    });
    assert.equal(read({ kind: "until-close" }, "hello", size).data, "hello");
  }
  assert.deepEqual(read({ kind: "none" }, "GET", 1), {
    data: "",
    rest: "GET",
    done: true,
    failure: undefined,
  });
});
