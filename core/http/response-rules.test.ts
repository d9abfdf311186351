import assert from "node:assert/strict";
import test from "node:test";
import type { ResponseHead } from "./message.ts";
import { isRefusal, type RawResponse } from "./raw-head.ts";
import { checkResponse } from "./response-rules.ts";

type Lines = readonly (readonly [string, string])[];

const GET = { method: "GET", upgrade: undefined } as const;
const HEAD = { method: "HEAD", upgrade: undefined } as const;
const WEBSOCKET = { method: "GET", upgrade: "websocket" } as const;

function raw(status: number, lines: Lines, more: Partial<RawResponse> = {}): RawResponse {
  const fields = lines.map(([name, value]) => ({ name, value }));
  return { version: "1.1", status, fields, ended: false, ...more };
}

function accepted(answer: RawResponse, request: Parameters<typeof checkResponse>[1] = GET): ResponseHead {
  const outcome = checkResponse(answer, request);
  if (isRefusal(outcome)) assert.fail(outcome.reason);
  return outcome;
}

const SWITCH: Lines = [
  ["connection", "Upgrade"],
  ["upgrade", "websocket"],
];

const refused: readonly (readonly [
  name: string,
  answer: RawResponse,
  request?: typeof WEBSOCKET | typeof HEAD,
])[] = [
  ["status 99", raw(99, [])],
  ["status 600", raw(600, [])],
  [
    "length and coding",
    raw(200, [
      ["content-length", "2"],
      ["transfer-encoding", "chunked"],
    ]),
  ],
  [
    "length twice",
    raw(200, [
      ["content-length", "2"],
      ["content-length", "2"],
    ]),
  ],
  ["length list", raw(200, [["content-length", "2, 2"]])],
  ["bad length of an answer to HEAD", raw(200, [["content-length", "x"]]), HEAD],
  ["coding gzip", raw(200, [["transfer-encoding", "gzip"]])],
  ["chunks in 1.0", raw(200, [["transfer-encoding", "chunked"]], { version: "1.0" })],
  ["101 that nobody asked for", raw(101, SWITCH)],
  ["101 without upgrade", raw(101, [["connection", "upgrade"]]), WEBSOCKET],
  [
    "101 to another protocol",
    raw(101, [
      ["connection", "upgrade"],
      ["upgrade", "foo"],
    ]),
    WEBSOCKET,
  ],
  ["101 of HTTP/1.0", raw(101, SWITCH, { version: "1.0" }), WEBSOCKET],
  ["connection in HTTP/2", raw(200, [["connection", "close"]], { version: "2" })],
  ["length without a body in HTTP/2", raw(200, [["content-length", "2"]], { version: "2", ended: true })],
];

for (const [name, answer, request] of refused) {
  test(`is a 502: ${name}`, () => {
    const outcome = checkResponse(answer, request ?? GET);
    assert.ok(isRefusal(outcome));
    assert.equal(outcome.status, 502);
  });
}

test("bodies by status, method and framing", () => {
  const LENGTH: Lines = [["content-length", "002"]];
  assert.deepEqual(accepted(raw(200, LENGTH)).body, { kind: "length", bytes: 2 });
  assert.deepEqual(accepted(raw(200, [["transfer-encoding", "chunked"]])).body, { kind: "marked" });
  assert.deepEqual(accepted(raw(200, [])).body, { kind: "until-close" });
  assert.deepEqual(accepted(raw(200, [], { version: "2" })).body, { kind: "marked" });
  assert.deepEqual(accepted(raw(200, [], { version: "2", ended: true })).body, { kind: "none" });
  assert.deepEqual(accepted(raw(101, SWITCH), WEBSOCKET).body, { kind: "tunnel" });
  for (const status of [100, 103, 204, 304])
    assert.deepEqual(accepted(raw(status, LENGTH)).body, { kind: "none" }, String(status));
  assert.deepEqual(accepted(raw(200, LENGTH), HEAD).body, { kind: "none" });
});

test("the length of a body that is not sent is kept for HEAD and 304 alone, in decimal", () => {
  const kept = [{ name: "content-length", value: "2" }];
  assert.deepEqual(accepted(raw(200, [["content-length", "002"]]), HEAD).fields, kept);
  assert.deepEqual(accepted(raw(304, [["content-length", "002"]])).fields, kept);
  assert.deepEqual(accepted(raw(204, [["content-length", "002"]])).fields, []);
  assert.deepEqual(accepted(raw(200, [["content-length", "002"]])).fields, []);
});

test("what is between two neighbours is removed; lines are never joined", () => {
  const head = accepted(
    raw(200, [
      ["set-cookie", "a=1"],
      ["connection", "x-hop"],
      ["x-hop", "1"],
      ["keep-alive", "timeout=1"],
      ["upgrade", "h2c"],
      ["set-cookie", "b=2"],
      ["x_forwarded_for", "kept"],
    ]),
  );
  assert.deepEqual(
    head.fields.map(({ name, value }) => `${name}: ${value}`),
    ["set-cookie: a=1", "set-cookie: b=2", "x_forwarded_for: kept"],
  );
});

test("closes: said so, or HTTP/1.0", () => {
  const closes = (answer: RawResponse): boolean => {
    const outcome = checkResponse(answer, GET);
    return !isRefusal(outcome) && outcome.closes;
  };
  assert.equal(closes(raw(200, [["connection", "close"]])), true);
  assert.equal(closes(raw(200, [], { version: "1.0" })), true);
  assert.equal(closes(raw(200, [["connection", "keep-alive"]])), false);
});
