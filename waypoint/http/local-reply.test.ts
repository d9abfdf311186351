import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestHead } from "#core/http/message.ts";
import { localReply } from "./local-reply.ts";
import { type Reason, reasonFacts, type ResponseFlag } from "./reasons.ts";

const head = (given: Partial<RequestHead> = {}): RequestHead => ({
  version: "1.1",
  method: "GET",
  target: "/",
  authority: "a",
  scheme: "http",
  fields: [],
  body: { kind: "none" },
  upgrade: undefined,
  expectsContinue: false,
  ...given,
});
const grpc = head({ version: "2", fields: [{ name: "content-type", value: "application/grpc+proto" }] });

const TABLE: readonly (readonly [Reason, number, ResponseFlag, string])[] = [
  ["denied-by-policy", 403, "-", "RBAC: access denied"],
  ["no-allow-matched", 403, "-", "RBAC: access denied"],
  ["policy-missing", 403, "-", "RBAC: access denied"],
  ["policy-changed", 403, "-", "RBAC: access denied"],
  ["not-bound", 404, "NR", "not a destination of this waypoint"],
  ["itself", 400, "NR", "the waypoint itself is no destination"],
  ["bad-path", 400, "DPE", "Bad Request"],
  ["too-many-requests", 503, "UO", "overload: too many requests"],
  ["no-healthy-endpoint", 503, "UH", "no healthy upstream"],
  [
    "upstream-unreachable",
    503,
    "UF",
    "upstream connect error or disconnect/reset before headers. reset reason: connection failure",
  ],
  [
    "upstream-lost",
    503,
    "UC",
    "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
  ],
  [
    "bad-answer",
    502,
    "UPE",
    "upstream connect error or disconnect/reset before headers. reset reason: protocol error",
  ],
  ["timeout", 504, "UT", "upstream request timeout"],
];

for (const [reason, status, flag, body] of TABLE) {
  test(`${reason} is ${status} with flag ${flag}`, () => {
    const answer = localReply(reason, head(), false);
    assert.deepEqual(answer, {
      status,
      fields: [{ name: "content-type", value: "text/plain" }],
      body,
      close: false,
    });
    assert.equal(reasonFacts(reason).flag, flag);
  });
}

for (const [reason, status] of [
  ["denied-by-policy", "7"],
  ["not-bound", "12"],
  ["no-healthy-endpoint", "14"],
  ["bad-answer", "14"],
  ["bad-path", "13"],
  ["failure", "2"],
] as const) {
  test(`to a gRPC caller ${reason} is grpc-status ${status}, in a head alone`, () => {
    const answer = localReply(reason, grpc, true);
    assert.equal(answer.status, 200);
    assert.equal(answer.body, "");
    assert.equal(answer.close, true);
    assert.equal(answer.fields.find(({ name }) => name === "grpc-status")?.value, status);
    assert.equal(answer.fields.find(({ name }) => name === "content-type")?.value, "application/grpc");
  });
}

test("gRPC is told by content type and version alone", () => {
  const type = (value: string): readonly { name: string; value: string }[] => [
    { name: "content-type", value },
  ];
  for (const [version, value] of [
    ["1.1", "application/grpc"],
    ["2", "application/grpc-web"],
    ["2", "application/json"],
  ] as const) {
    assert.equal(localReply("denied-by-policy", head({ version, fields: type(value) }), false).status, 403);
  }
});
