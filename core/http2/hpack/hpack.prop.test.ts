/** Properties: identity through any table sizes, equal tables, no throw on any bytes, integers of any prefix. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder, maxEncodedBytes } from "./encoder.ts";
import { fieldSizeBytes, headerField, type HeaderField } from "./header-field.ts";
import { decodeHuffman, encodeHuffman, huffmanLength, maxDecodedBytes } from "./huffman.ts";
import { readInteger, writeInteger } from "./integer.ts";

const octets = (maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString("latin1"));

const field: fc.Arbitrary<HeaderField> = fc
  .record({
    name: fc.oneof(fc.constantFrom(":path", "x-a", "x-b", "cookie", "baggage", ":method"), octets(20)),
    value: fc.oneof(fc.constantFrom("GET", "/", "1", "2", ""), octets(300)),
    sensitive: fc.boolean(),
  })
  .map(({ name, value, sensitive }) => headerField(name, value, sensitive));

interface Step {
  readonly limits: readonly number[];
  readonly fields: readonly HeaderField[];
}

const step: fc.Arbitrary<Step> = fc.record({
  limits: fc.array(fc.constantFrom(0, 33, 64, 100, 500, 4_096, 65_536), { maxLength: 3 }),
  fields: fc.array(field, { maxLength: 30 }),
});

test("what is encoded is decoded, and both tables are equal, whatever the limits do", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 12 }),
      fc.boolean(),
      fc.constantFrom(0, 100, 4_096, 16_384),
      (steps, huffman, cap) => {
        const encoder = new HpackEncoder({ huffman, maxTableBytes: cap });
        const decoder = new HpackDecoder({ maxListBytes: Number.MAX_SAFE_INTEGER });
        for (const { limits, fields } of steps) {
          for (const limit of limits) {
            decoder.limitTable(limit);
            encoder.limitTable(limit);
          }
          const block = decoder.decode(encoder.encode(fields));
          assert.equal(block.kind, "headers");
          assert.deepEqual(block.fields.map(pair), fields.map(pair));
          assert.deepEqual(decoder.tableEntries().map(pair), encoder.tableEntries().map(pair));
          const tableBytes = decoder.tableEntries().reduce((sum, entry) => sum + fieldSizeBytes(entry), 0);
          assert.equal(decoder.tableBytes, tableBytes);
          assert.ok(tableBytes <= Math.min(cap, limits.at(-1) ?? Number.POSITIVE_INFINITY));
          for (const [i, sent] of fields.entries())
            if (sent.sensitive) assert.equal(block.fields[i]?.sensitive, true);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("a small list limit changes what is handed out, never the table", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(field, { maxLength: 20 }), { maxLength: 8 }),
      fc.nat(400),
      (blocks, maxListBytes) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder({ maxListBytes });
        for (const fields of blocks) {
          const size = fields.reduce((sum, f) => sum + fieldSizeBytes(f), 0);
          const block = decoder.decode(encoder.encode(fields));
          assert.equal(block.kind, size > maxListBytes ? "too-large" : "headers");
          assert.deepEqual(decoder.tableEntries().map(pair), encoder.tableEntries().map(pair));
        }
      },
    ),
    { numRuns: 200 },
  );
});

test("arbitrary bytes never throw, and never exceed the limits", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 6 }), (blocks) => {
      const decoder = new HpackDecoder({ maxListBytes: 1_000 });
      for (const bytes of blocks) {
        const block = decoder.decode(bytes);
        assert.ok(block.kind !== "headers" || block.listBytes <= 1_000);
        assert.ok(decoder.tableBytes <= 4_096);
      }
    }),
    { numRuns: 3_000 },
  );
});

test("valid blocks with a few octets changed never throw", () => {
  const change = fc.record({ at: fc.nat(), octet: fc.nat(255) });
  fc.assert(
    fc.property(
      fc.array(field, { minLength: 1, maxLength: 10 }),
      fc.array(change, { maxLength: 4 }),
      fc.boolean(),
      (fields, changes, huffman) => {
        const bytes = new HpackEncoder({ huffman }).encode(fields);
        for (const { at, octet } of changes) bytes[at % bytes.length] = octet;
        const decoder = new HpackDecoder();
        decoder.decode(bytes);
        assert.ok(decoder.tableBytes <= 4_096);
      },
    ),
    { numRuns: 2_000 },
  );
});

test("a block that is cut anywhere is malformed or a shorter list", () => {
  fc.assert(
    fc.property(fc.array(field, { minLength: 1, maxLength: 6 }), fc.nat(), (fields, cut) => {
      const bytes = new HpackEncoder().encode(fields);
      const block = new HpackDecoder().decode(bytes.subarray(0, cut % bytes.length));
      if (block.kind === "headers")
        assert.deepEqual(block.fields.map(pair), fields.slice(0, block.fields.length).map(pair));
    }),
  );
});

test("Huffman: identity, and the length is known beforehand", () => {
  fc.assert(
    fc.property(octets(400), (text) => {
      const out = new Uint8Array(text.length * 4 + 8);
      const end = encodeHuffman(text, out, 3);
      assert.equal(end - 3, huffmanLength(text));
      const decoded = new Uint8Array(maxDecodedBytes(end - 3));
      const length = decodeHuffman(out, 3, end, decoded);
      assert.equal(Buffer.from(decoded.subarray(0, length)).toString("latin1"), text);
    }),
  );
});

test("Huffman: any bytes give MALFORMED or a string that encodes to the same bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const out = new Uint8Array(maxDecodedBytes(bytes.length));
      const length = decodeHuffman(bytes, 0, bytes.length, out);
      if (length < 0) return;
      const text = Buffer.from(out.subarray(0, length)).toString("latin1");
      const again = new Uint8Array(bytes.length);
      assert.equal(encodeHuffman(text, again, 0), bytes.length);
      assert.deepEqual(again, bytes);
    }),
    { numRuns: 2_000 },
  );
});

test("integers: identity for every prefix", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.nat(0x0fff_ffff), (bits, value) => {
      const out = new Uint8Array(8);
      const end = writeInteger(out, 0, { bits, pattern: 0 }, value);
      const reader = { bytes: out, position: 0, end };
      assert.equal(readInteger(reader, bits), value);
      assert.equal(reader.position, end);
    }),
  );
});

test("a block never takes more than was said beforehand", () => {
  fc.assert(
    fc.property(fc.array(field, { maxLength: 10 }), fc.boolean(), (fields, huffman) => {
      const encoder = new HpackEncoder({ huffman });
      encoder.limitTable(0);
      encoder.limitTable(4_096);
      assert.ok(encoder.encode(fields).length <= maxEncodedBytes(fields));
    }),
  );
});

function pair(f: HeaderField): readonly [string, string] {
  return [f.name, f.value];
}
