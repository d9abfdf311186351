/** What never reaches a table, and how the encoder follows the peer's limit. */
import assert from "node:assert/strict";
import test from "node:test";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";
import { headerField, type HeaderField } from "./header-field.ts";

function hexOf(encoder: HpackEncoder, fields: readonly HeaderField[]): string {
  return encoder.encode(fields).toString("hex");
}

for (const name of ["authorization", "proxy-authorization", "cookie", "set-cookie"]) {
  test(`${name} is a never-indexed literal and enters no table`, () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const bytes = encoder.encode([headerField(name, "secret")]);
    assert.equal((bytes[0] ?? 0) & 0xf0, 0x10);
    const block = decoder.decode(bytes);
    assert.equal(block.kind === "headers" && block.fields[0]?.sensitive, true);
    assert.deepEqual([encoder.tableEntries(), decoder.tableEntries()], [[], []]);
  });
}

test("a sensitive field stays out of the table even if an equal plain one is in it", () => {
  const encoder = new HpackEncoder();
  encoder.encode([headerField("x-key", "k")]);
  const bytes = encoder.encode([headerField("x-key", "k", true)]);
  assert.equal((bytes[0] ?? 0) & 0xf0, 0x10);
  assert.equal(encoder.tableEntries().length, 1);
});

test("a repeated field becomes one octet", () => {
  const encoder = new HpackEncoder();
  encoder.encode([headerField("x-a", "1"), headerField("x-b", "2")]);
  assert.equal(hexOf(encoder, [headerField("x-a", "1"), headerField("x-b", "2")]), "bfbe");
});

test("values that hardly repeat do not enter the table", () => {
  const encoder = new HpackEncoder();
  encoder.encode([
    headerField("traceparent", "00-1-2-00"),
    headerField(":path", "/a"),
    headerField("forwarded", "x"),
  ]);
  assert.deepEqual(encoder.tableEntries(), []);
});

test("a limit of 0 is announced once and nothing is indexed", () => {
  const encoder = new HpackEncoder();
  encoder.limitTable(0);
  assert.equal(hexOf(encoder, [headerField("x", "y")]), "20 00 0178 0179".replaceAll(" ", ""));
  assert.equal(hexOf(encoder, [headerField("x", "y")]), "00 0178 0179".replaceAll(" ", ""));
});

test("a limit that went down and up between blocks is announced as smallest, then final", () => {
  const encoder = new HpackEncoder();
  encoder.encode([headerField("x", "y")]);
  encoder.limitTable(0);
  encoder.limitTable(4_096);
  assert.equal(hexOf(encoder, []), "203fe11f");
  assert.deepEqual(encoder.tableEntries(), []);
});

test("a generous peer does not make the table grow above our own cap", () => {
  const encoder = new HpackEncoder();
  encoder.limitTable(1 << 30);
  assert.equal(hexOf(encoder, []), "");
  const small = new HpackEncoder({ maxTableBytes: 64 });
  assert.equal(hexOf(small, []), "3f21");
});

test("refuses characters that are no octets instead of cutting them", () => {
  for (const huffman of [false, true])
    assert.throws(() => new HpackEncoder({ huffman }).encode([headerField("x", "a\u010Ab")]), /octets/);
});

test("encodeInto writes behind the offset and reports the end", () => {
  const out = new Uint8Array(64);
  const end = new HpackEncoder().encodeInto([headerField(":method", "GET")], out, 10);
  assert.deepEqual([end, out[9], out[10], out[11]], [11, 0, 0x82, 0]);
});
