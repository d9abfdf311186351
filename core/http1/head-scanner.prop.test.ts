/** The scanner against a plain reading of the whole head, in any cut; names against `toLowerCase`. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { fieldName, hashStep, LOWER } from "./field-names.ts";
import { readFields } from "./head-lines.ts";
import { HeadScanner } from "./head-scanner.ts";

interface Read {
  readonly state: string;
  readonly lines: readonly string[];
  readonly consumed: number;
}

function scan(pieces: readonly Buffer[]): Read {
  const scanner = new HeadScanner("request");
  let consumed = 0;
  for (const piece of pieces) {
    if (scanner.state !== "more") break;
    consumed += scanner.scan(piece, 0, piece.length);
  }
  const { text, lineEnds, firstLine } = scanner;
  const starts = [firstLine, ...lineEnds.map((end) => end + 2)];
  const lines = lineEnds.map((end, i) => text.slice(starts[i], end));
  const isComplete = scanner.state === "complete";
  return { state: scanner.state, lines: isComplete ? lines : [], consumed: isComplete ? consumed : -1 };
}

/** By regular expressions, on the whole. */
function naive(text: string): Read {
  const bad = /(?:^|[^\r])\n|\r(?=[^\n])|[^\t\n\r -~\u0080-\u00ff]/.exec(text);
  const blank = /^(?:\r\n)*/.exec(text)?.[0].length ?? 0;
  const isBadStart = text.length > blank && !/^[A-Z\r]/.test(text.slice(blank));
  if (blank > 4 || isBadStart) return { state: "bad", lines: [], consumed: -1 };
  const end = text.indexOf("\r\n\r\n", blank);
  if (bad !== null && (end < 0 || bad.index < end)) return { state: "bad", lines: [], consumed: -1 };
  if (end < 0) return { state: "more", lines: [], consumed: -1 };
  return { state: "complete", lines: text.slice(blank, end).split("\r\n"), consumed: end + 4 };
}

const piece = fc.oneof(
  { weight: 8, arbitrary: fc.stringMatching(/^[A-Za-z0-9 :\t-]{1,9}$/) },
  { weight: 6, arbitrary: fc.constant("\r\n") },
  {
    weight: 1,
    arbitrary: fc.constantFrom("\r", "\n", "\0", "\u007f", "\u001f", "\u0080", "\u00ff", "\u00a0", "\t"),
  },
);
const head = fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join(""));

function cut(text: string, places: readonly number[]): readonly Buffer[] {
  const ends = [...places.map((each) => each % (text.length + 1)).toSorted((a, b) => a - b), text.length];
  return ends.map((end, i) => Buffer.from(text.slice(i === 0 ? 0 : ends[i - 1], end), "latin1"));
}

test("any bytes in any cut are read as a plain reading of the whole says", () => {
  fc.assert(
    fc.property(head, fc.array(fc.nat(200), { maxLength: 5 }), (text, places) => {
      assert.deepEqual(scan([Buffer.from(text, "latin1")]), naive(text));
      assert.deepEqual(scan(cut(text, places)), naive(text));
      assert.deepEqual(
        scan([...Buffer.from(text, "latin1")].map((byte) => Buffer.from([byte]))),
        naive(text),
      );
    }),
    { numRuns: 5_000 },
  );
});

test("every control character is found at every place of a word", () => {
  for (let code = 0; code < 256; code++) {
    for (let at = 1; at < 9; at++) {
      const bytes = Buffer.from(`A${"x".repeat(12)}\r\n\r\n`, "latin1");
      bytes[at] = code;
      const isPlain = code === 9 || (code >= 32 && code !== 127);
      const { state } = scan([bytes]);
      assert.equal(state, isPlain ? "complete" : "bad", `byte ${code} at ${at}`);
    }
  }
});

test("the bounds hold to the byte, whole and byte by byte", () => {
  const fits = `GET / HTTP/1.1\r\nx: ${"a".repeat(60 * 1024 - 16 - 3 - 4)}\r\n\r\n`;
  assert.equal(fits.length, 60 * 1024);
  for (const text of [fits, `${fits.slice(0, -4)}a\r\n\r\n`]) {
    const expected = text === fits ? "complete" : "too-large";
    assert.equal(scan([Buffer.from(text)]).state, expected);
    assert.equal(scan([...Buffer.from(text)].map((byte) => Buffer.from([byte]))).state, expected);
  }
  const line = Buffer.from(`GET /${"a".repeat(70_000)}`);
  assert.equal(scan([line]).state, "line-too-long");
  const fields = (count: number): string => `GET / HTTP/1.1\r\n${"x: y\r\n".repeat(count)}\r\n`;
  assert.equal(scan([Buffer.from(fields(200))]).state, "complete");
  assert.equal(scan([Buffer.from(fields(201))]).state, "too-large");
});

test("names come out in lower case, whatever the cache holds, also where hashes collide", () => {
  const name = fc.stringMatching(/^[A-Za-z!#$%&'*+.^_`|~0-9-]{1,60}$/);
  fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 20 }), (names) => {
      const text = names.map((each) => `${each}: v`).join("\r\n");
      let end = -2;
      const ends = names.map((each) => (end += each.length + 5));
      const fields = readFields(text, ends, 0, 0);
      assert.ok(typeof fields !== "string");
      assert.deepEqual(
        fields.map((field) => field.name),
        names.map((each) => each.toLowerCase()),
      );
    }),
    { numRuns: 3_000 },
  );
  // 31 * 97 + 126 is 31 * 98 + 95: one hash, two names.
  const hash = (text: string): number =>
    [...Buffer.from(text)].reduce((sum, code) => hashStep(sum, LOWER[code] as number), 0);
  const collision = ["a~", "b_"] as const;
  assert.equal(hash(collision[0]), hash(collision[1]));
  for (const each of [...collision, ...collision]) assert.equal(fieldName(each, 0, 2, hash(each)), each);
});
