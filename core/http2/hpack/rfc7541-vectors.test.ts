/** RFC 7541 Appendix C, both ways: what a block decodes to, what the table holds, what the encoder writes. */
import assert from "node:assert/strict";
import test from "node:test";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";
import { headerField } from "./header-field.ts";
import { readInteger, writeInteger } from "./integer.ts";

interface Step {
  readonly hex: string;
  readonly fields: readonly string[];
  readonly tableBytes: number;
}

interface Sequence {
  readonly name: string;
  readonly maxTableBytes?: number;
  readonly huffman?: boolean;
  readonly steps: readonly Step[];
}

const FIRST = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const SECOND = [...FIRST, "cache-control: no-cache"];
const THIRD = [
  ":method: GET",
  ":scheme: https",
  ":path: /index.html",
  ":authority: www.example.com",
  "custom-key: custom-value",
];
const RESPONSE_TAIL = [
  "cache-control: private",
  "date: Mon, 21 Oct 2013 20:13:21 GMT",
  "location: https://www.example.com",
];
const RESPONSE_THREE = [
  ":status: 200",
  "cache-control: private",
  "date: Mon, 21 Oct 2013 20:13:22 GMT",
  "location: https://www.example.com",
  "content-encoding: gzip",
  "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
];

const SEQUENCES: readonly Sequence[] = [
  {
    name: "C.2.1 literal with indexing",
    steps: [
      {
        hex: "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
        fields: ["custom-key: custom-header"],
        tableBytes: 55,
      },
    ],
  },
  {
    name: "C.2.2 literal without indexing",
    steps: [{ hex: "040c2f73616d706c652f70617468", fields: [":path: /sample/path"], tableBytes: 0 }],
  },
  {
    name: "C.2.3 literal never indexed",
    steps: [{ hex: "100870617373776f726406736563726574", fields: ["password: secret"], tableBytes: 0 }],
  },
  { name: "C.2.4 indexed", steps: [{ hex: "82", fields: [":method: GET"], tableBytes: 0 }] },
  {
    name: "C.3 requests without Huffman",
    huffman: false,
    steps: [
      { hex: "828684410f7777772e6578616d706c652e636f6d", fields: FIRST, tableBytes: 57 },
      { hex: "828684be58086e6f2d6361636865", fields: SECOND, tableBytes: 110 },
      { hex: "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", fields: THIRD, tableBytes: 164 },
    ],
  },
  {
    name: "C.4 requests with Huffman",
    huffman: true,
    steps: [
      { hex: "828684418cf1e3c2e5f23a6ba0ab90f4ff", fields: FIRST, tableBytes: 57 },
      { hex: "828684be5886a8eb10649cbf", fields: SECOND, tableBytes: 110 },
      { hex: "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", fields: THIRD, tableBytes: 164 },
    ],
  },
  {
    name: "C.5 responses without Huffman, eviction at 256 bytes",
    maxTableBytes: 256,
    steps: [
      {
        hex: "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        fields: [":status: 302", ...RESPONSE_TAIL],
        tableBytes: 222,
      },
      { hex: "4803333037c1c0bf", fields: [":status: 307", ...RESPONSE_TAIL], tableBytes: 222 },
      {
        hex: "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        fields: RESPONSE_THREE,
        tableBytes: 215,
      },
    ],
  },
  {
    name: "C.6 responses with Huffman, eviction at 256 bytes",
    maxTableBytes: 256,
    steps: [
      {
        hex: "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        fields: [":status: 302", ...RESPONSE_TAIL],
        tableBytes: 222,
      },
      { hex: "4883640effc1c0bf", fields: [":status: 307", ...RESPONSE_TAIL], tableBytes: 222 },
      {
        hex: "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        fields: RESPONSE_THREE,
        tableBytes: 215,
      },
    ],
  },
];

for (const sequence of SEQUENCES) {
  test(`decodes ${sequence.name}`, () => {
    const decoder = new HpackDecoder();
    if (sequence.maxTableBytes !== undefined) {
      decoder.limitTable(sequence.maxTableBytes);
      assert.equal(decoder.decode(Buffer.from("3fe101", "hex")).kind, "headers");
    }
    for (const step of sequence.steps) {
      const block = decoder.decode(Buffer.from(step.hex, "hex"));
      assert.equal(block.kind, "headers");
      assert.deepEqual(
        block.fields.map((f) => `${f.name}: ${f.value}`),
        step.fields,
      );
      assert.equal(decoder.tableBytes, step.tableBytes);
    }
  });
}

for (const sequence of SEQUENCES.filter((s) => s.huffman !== undefined)) {
  test(`writes ${sequence.name}`, () => {
    const encoder = new HpackEncoder({ huffman: sequence.huffman === true });
    for (const step of sequence.steps) {
      const fields = step.fields.map((text) => {
        const colon = text.indexOf(": ", 1);
        return headerField(text.slice(0, colon), text.slice(colon + 2));
      });
      assert.equal(encoder.encode(fields).toString("hex"), step.hex);
    }
  });
}

test("C.2.3 is decoded as sensitive, C.2.1 and C.2.2 are not", () => {
  const sensitive = SEQUENCES.slice(0, 3).map((sequence) => {
    const block = new HpackDecoder().decode(Buffer.from(sequence.steps[0]?.hex ?? "", "hex"));
    return block.kind === "headers" && block.fields[0]?.sensitive;
  });
  assert.deepEqual(sensitive, [false, false, true]);
});

for (const { value, bits, hex } of [
  { value: 10, bits: 5, hex: "0a" },
  { value: 1337, bits: 5, hex: "1f9a0a" },
  { value: 42, bits: 8, hex: "2a" },
]) {
  test(`C.1 writes and reads ${value} with a prefix of ${bits} bits`, () => {
    const out = new Uint8Array(8);
    const end = writeInteger(out, 0, { bits, pattern: 0 }, value);
    assert.equal(Buffer.from(out.subarray(0, end)).toString("hex"), hex);
    assert.equal(readInteger({ bytes: out, position: 0, end }, bits), value);
  });
}
