import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { ErrorCode, errorCodeName } from "./error-codes.ts";
import {
  applySettings,
  checkSettingsFrame,
  DEFAULT_SETTINGS,
  encodeSettings,
  type Http2Settings,
} from "./settings.ts";

function payload(...pairs: readonly (readonly [id: number, value: number])[]): Uint8Array {
  const bytes = Buffer.alloc(pairs.length * 6);
  for (const [i, [id, value]] of pairs.entries()) {
    bytes.writeUInt16BE(id, i * 6);
    bytes.writeUInt32BE(value, i * 6 + 2);
  }
  return bytes;
}

const refusals: readonly {
  readonly name: string;
  readonly pairs: readonly (readonly [number, number])[];
  readonly sender?: "client" | "server";
  readonly code: ErrorCode;
}[] = [
  { name: "ENABLE_PUSH of 2", pairs: [[2, 2]], code: ErrorCode.PROTOCOL_ERROR },
  { name: "a server that enables push", pairs: [[2, 1]], sender: "server", code: ErrorCode.PROTOCOL_ERROR },
  { name: "INITIAL_WINDOW_SIZE of 2^31", pairs: [[4, 0x8000_0000]], code: ErrorCode.FLOW_CONTROL_ERROR },
  { name: "INITIAL_WINDOW_SIZE of 2^32-1", pairs: [[4, 0xffff_ffff]], code: ErrorCode.FLOW_CONTROL_ERROR },
  { name: "MAX_FRAME_SIZE of 16,383", pairs: [[5, 16_383]], code: ErrorCode.PROTOCOL_ERROR },
  { name: "MAX_FRAME_SIZE of 2^24", pairs: [[5, 0x100_0000]], code: ErrorCode.PROTOCOL_ERROR },
  { name: "ENABLE_CONNECT_PROTOCOL of 2", pairs: [[8, 2]], code: ErrorCode.PROTOCOL_ERROR },
  {
    name: "ENABLE_CONNECT_PROTOCOL taken back",
    pairs: [
      [8, 1],
      [8, 0],
    ],
    code: ErrorCode.PROTOCOL_ERROR,
  },
  { name: "NO_RFC7540_PRIORITIES of 2", pairs: [[9, 2]], code: ErrorCode.PROTOCOL_ERROR },
  {
    name: "a bad value behind good ones",
    pairs: [
      [1, 0],
      [3, 5],
      [5, 1],
    ],
    code: ErrorCode.PROTOCOL_ERROR,
  },
];

for (const { name, pairs, sender, code } of refusals) {
  test(`refuses ${name} with ${errorCodeName(code)}`, () => {
    const outcome = applySettings(DEFAULT_SETTINGS, payload(...pairs), sender ?? "client");
    assert.equal(outcome.kind === "refused" && outcome.code, code);
  });
}

const accepted: readonly {
  readonly pair: readonly [number, number];
  readonly expect: Partial<Http2Settings>;
}[] = [
  { pair: [1, 0], expect: { headerTableSize: 0 } },
  { pair: [1, 0xffff_ffff], expect: { headerTableSize: 0xffff_ffff } },
  { pair: [2, 0], expect: { enablePush: false } },
  { pair: [3, 0], expect: { maxConcurrentStreams: 0 } },
  { pair: [4, 0], expect: { initialWindowSize: 0 } },
  { pair: [4, 0x7fff_ffff], expect: { initialWindowSize: 0x7fff_ffff } },
  { pair: [5, 16_384], expect: { maxFrameSize: 16_384 } },
  { pair: [5, 0xff_ffff], expect: { maxFrameSize: 0xff_ffff } },
  { pair: [6, 16_384], expect: { maxHeaderListSize: 16_384 } },
  { pair: [8, 1], expect: { enableConnectProtocol: true } },
  { pair: [9, 1], expect: {} },
  { pair: [7, 9], expect: {} },
  { pair: [0xfefe, 0xffff_ffff], expect: {} },
];

for (const { pair, expect } of accepted) {
  test(`accepts setting ${pair[0]} = ${pair[1]}`, () => {
    const outcome = applySettings(DEFAULT_SETTINGS, payload(pair), "client");
    assert.deepEqual(outcome, { kind: "settings", settings: { ...DEFAULT_SETTINGS, ...expect } });
  });
}

test("the last of several values of one setting counts", () => {
  const outcome = applySettings(DEFAULT_SETTINGS, payload([3, 1], [3, 7]), "client");
  assert.equal(outcome.kind === "settings" && outcome.settings.maxConcurrentStreams, 7);
});

const frames = [
  { name: "on a stream", frame: { streamId: 1, ack: false, length: 0 }, code: ErrorCode.PROTOCOL_ERROR },
  {
    name: "acknowledgement with a payload",
    frame: { streamId: 0, ack: true, length: 6 },
    code: ErrorCode.FRAME_SIZE_ERROR,
  },
  { name: "of 5 octets", frame: { streamId: 0, ack: false, length: 5 }, code: ErrorCode.FRAME_SIZE_ERROR },
  {
    name: "of 65 settings",
    frame: { streamId: 0, ack: false, length: 390 },
    code: ErrorCode.ENHANCE_YOUR_CALM,
  },
  { name: "empty", frame: { streamId: 0, ack: false, length: 0 }, code: undefined },
  { name: "acknowledgement", frame: { streamId: 0, ack: true, length: 0 }, code: undefined },
  { name: "of 64 settings", frame: { streamId: 0, ack: false, length: 384 }, code: undefined },
] as const;

for (const { name, frame, code } of frames) {
  test(`frame ${name}: ${code === undefined ? "may be read" : errorCodeName(code)}`, () => {
    assert.equal(checkSettingsFrame(frame)?.code, code);
  });
}

test("encodes in the order of ids and leaves out what is unlimited", () => {
  const bytes = encodeSettings({
    maxFrameSize: 1_048_576,
    enablePush: false,
    maxConcurrentStreams: Number.POSITIVE_INFINITY,
  });
  assert.deepEqual(Buffer.from(bytes), Buffer.from(payload([2, 0], [5, 1_048_576])));
});

test("what is encoded is applied again", () => {
  const settings = fc.record({
    headerTableSize: fc.nat(0xffff_ffff),
    enablePush: fc.boolean(),
    maxConcurrentStreams: fc.nat(0xffff_ffff),
    initialWindowSize: fc.nat(0x7fff_ffff),
    maxFrameSize: fc.integer({ min: 16_384, max: 0xff_ffff }),
    maxHeaderListSize: fc.nat(0xffff_ffff),
    enableConnectProtocol: fc.boolean(),
  });
  fc.assert(
    fc.property(settings, (values) => {
      assert.deepEqual(applySettings(DEFAULT_SETTINGS, encodeSettings(values), "client"), {
        kind: "settings",
        settings: { ...values },
      });
    }),
  );
});

test("arbitrary payloads never throw", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 100 }),
      (bytes) => void applySettings(DEFAULT_SETTINGS, bytes, "client"),
    ),
  );
});

test("unknown error codes are printed as numbers", () => {
  assert.deepEqual(
    [errorCodeName(8), errorCodeName(0xb), errorCodeName(0x1f)],
    ["CANCEL", "ENHANCE_YOUR_CALM", "0x1f"],
  );
});
