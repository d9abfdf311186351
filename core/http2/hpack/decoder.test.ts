/** What the decoder refuses, what it survives, and that the tables stay right throughout. */
import assert from "node:assert/strict";
import test from "node:test";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";
import { headerField } from "./header-field.ts";

function decodeHex(hex: string, decoder = new HpackDecoder()): ReturnType<HpackDecoder["decode"]> {
  return decoder.decode(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

const MALFORMED: readonly { readonly name: string; readonly hex: string }[] = [
  { name: "index 0", hex: "80" },
  { name: "index of an entry that is not there", hex: "be" },
  { name: "name index of an entry that is not there", hex: "7f00 0161" },
  { name: "index above any table", hex: "ff ffffff7f" },
  { name: "integer of more octets than allowed", hex: "ff 808080808080808001" },
  { name: "integer of endless zero octets", hex: `ff ${"80".repeat(200)}00` },
  { name: "integer that is cut off", hex: "ff 80" },
  { name: "literal without anything behind its first octet", hex: "40" },
  { name: "name that is cut off", hex: "40 0a 6375" },
  { name: "value that is missing", hex: "40 01 61" },
  { name: "value that is cut off", hex: "40 01 61 05 6263" },
  { name: "value of a huge length", hex: "40 01 61 7f ffffff07" },
  { name: "table size update after a field", hex: "82 20" },
  { name: "table size update above the limit", hex: "3f e2 1f" },
  { name: "table size update of a huge integer", hex: "3f ffffffff7f" },
  { name: "Huffman: EOS inside a string", hex: "00 84 ffffffff 00" },
  { name: "Huffman: EOS between symbols", hex: "00 85 1ffffffffc 00" },
  { name: "Huffman: eight bits of padding", hex: "00 82 1fff 00" },
  { name: "Huffman: padding with a zero in it", hex: "00 81 1e 00" },
  { name: "Huffman: padding of zeros only", hex: "00 82 f800 00" },
  { name: "Huffman: code that is cut off", hex: "00 81 fe 00" },
];

for (const { name, hex } of MALFORMED) {
  test(`refuses: ${name}`, () => assert.equal(decodeHex(hex).kind, "malformed"));
}

test("accepts a Huffman string that ends on a symbol, and seven bits of padding", () => {
  // "a" is 00011 and three ones; "&" is 11111000 and needs none.
  assert.deepEqual(decodeHex("00 81 1f 81 f8"), {
    kind: "headers",
    fields: [headerField("a", "&")],
    listBytes: 34,
  });
});

test("accepts empty strings, coded or not", () => {
  assert.equal(decodeHex("04 00").kind, "headers");
  assert.equal(decodeHex("04 80").kind, "headers");
});

test("accepts several size updates at the start, and an empty block", () => {
  assert.equal(decodeHex("20 3fe11f 82").kind, "headers");
  assert.deepEqual(decodeHex(""), { kind: "headers", fields: [], listBytes: 0 });
});

test("demands a size update once a lower limit was acknowledged", () => {
  const decoder = new HpackDecoder();
  decoder.limitTable(100);
  assert.equal(decodeHex("82", decoder).kind, "malformed");
  const other = new HpackDecoder();
  other.limitTable(100);
  assert.equal(decodeHex("3f45 82", other).kind, "headers");
  assert.equal(decodeHex("82", other).kind, "headers");
});

test("a higher limit needs no update, and allows one", () => {
  const decoder = new HpackDecoder();
  decoder.limitTable(65_536);
  assert.equal(decodeHex("82", decoder).kind, "headers");
  assert.equal(decodeHex("3fe1ff03 82", decoder).kind, "headers");
});

test("an entry larger than the table empties it and is no error", () => {
  const decoder = new HpackDecoder();
  decodeHex("40 0161 0162", decoder);
  assert.equal(decoder.tableBytes, 34);
  const value = "00".repeat(5_000);
  assert.equal(decodeHex(`40 0161 7f 8926 ${value}`, decoder).kind, "headers");
  assert.equal(decoder.tableBytes, 0);
});

test("the name of an entry that its own insertion evicts is still read", () => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  decoder.decode(
    encoder.encode([headerField("x-name", "v".repeat(1_900)), headerField("y", "w".repeat(1_900))]),
  );
  const block = decodeHex(`7f00 7f d10e ${"61".repeat(2_000)}`, decoder);
  assert.equal(block.kind === "headers" && block.fields[0]?.name, "x-name");
});

test("a bomb of references is counted, not stored, and the connection stays usable", () => {
  const decoder = new HpackDecoder();
  const bomb = Buffer.concat([
    Buffer.from("40 0161 7f9d1d".replaceAll(" ", ""), "hex"),
    Buffer.alloc(3_868, 0x62),
    Buffer.alloc(60_000, 0xbe),
  ]);
  const outcome = decoder.decode(bomb);
  assert.equal(outcome.kind, "too-large");
  assert.equal(outcome.kind === "too-large" && outcome.listBytes > 200_000_000, true);
  const next = decodeHex("be", decoder);
  assert.equal(next.kind === "headers" && next.fields[0]?.value.length, 3_868);
});

test("a list of exactly the limit is handed out, one byte more is too large", () => {
  const value = (length: number): Uint8Array =>
    new HpackEncoder().encode([headerField("a", "x".repeat(length))]);
  assert.equal(new HpackDecoder({ maxListBytes: 100 }).decode(value(67)).kind, "headers");
  assert.equal(new HpackDecoder({ maxListBytes: 100 }).decode(value(68)).kind, "too-large");
});

test("entries of a list that is too large are in the table afterwards", () => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder({ maxListBytes: 60 });
  const fields = Array.from({ length: 20 }, (_, i) => headerField(`name-${i}`, "value"));
  assert.equal(decoder.decode(encoder.encode(fields)).kind, "too-large");
  assert.deepEqual(decoder.tableEntries(), encoder.tableEntries());
});

test("a malformed tail makes the whole block malformed even above the limit", () => {
  const decoder = new HpackDecoder({ maxListBytes: 10 });
  assert.equal(decodeHex("40 0161 0162 be 80", decoder).kind, "malformed");
});

test("octets above 127 survive in both directions", () => {
  const all = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
  for (const huffman of [false, true]) {
    const block = new HpackDecoder().decode(new HpackEncoder({ huffman }).encode([headerField("x", all)]));
    assert.equal(block.kind === "headers" && block.fields[0]?.value, all);
  }
});
