import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpVersion } from "#core/http/message.ts";
import type { AppProtocol } from "#core/model/service.ts";
import { chooseProtocol, type HttpProtocol } from "./choose-protocol.ts";

const TABLE: readonly (readonly [AppProtocol, HttpVersion, HttpProtocol])[] = [
  ["http11", "1.0", "http1"],
  ["http11", "1.1", "http1"],
  // gRPC on a port that says http worked before there was a waypoint.
  ["http11", "2", "http2"],
  ["unknown", "1.1", "http1"],
  ["unknown", "2", "http2"],
  ["http2", "1.1", "http2"],
  ["grpc", "2", "http2"],
];

for (const [declared, version, expected] of TABLE) {
  test(`${declared} port, caller of HTTP/${version}: ${expected}`, () => {
    assert.equal(chooseProtocol(declared, { version, upgrade: undefined }), expected);
  });
}

test("an upgrade is HTTP/1.1 whatever the port says", () => {
  assert.equal(chooseProtocol("http2", { version: "1.1", upgrade: "websocket" }), "http1");
});
