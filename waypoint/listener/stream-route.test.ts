import assert from "node:assert/strict";
import { test } from "node:test";
import type { FirstBytes } from "#core/http/first-bytes.ts";
import { chooseStreamRoute } from "./stream-route.ts";

type Row = readonly [verdict: FirstBytes, hasBytes: boolean, hasEnded: boolean, http: string, detect: string];

const TABLE: readonly Row[] = [
  ["http1", true, false, "http1", "http1"],
  ["http2", true, false, "http2", "http2"],
  // Not a whole first line, and nothing more comes: never as a plain connection.
  ["more", true, false, "http1", "http1"],
  ["more", true, true, "http1", "http1"],
  ["other", true, false, "http1", "relay"],
  ["tls", true, false, "tls-on-http-port", "relay"],
  // A server that speaks first.
  ["more", false, false, "no-request", "relay"],
  ["more", false, true, "nothing", "relay"],
];

for (const [verdict, hasBytes, hasEnded, onHttp, onUndeclared] of TABLE) {
  for (const [port, expected] of [
    ["http", onHttp],
    ["detect", onUndeclared],
  ] as const) {
    const what = `${verdict}${hasBytes ? "" : ", no byte"}${hasEnded ? ", ended" : ""}`;
    test(`${what} on a port ${port === "http" ? "declared HTTP" : "without a declaration"}: ${expected}`, () => {
      const route = chooseStreamRoute({ port, verdict, hasBytes, hasEnded });
      const text =
        route.kind === "http" ? route.protocol : route.kind === "refused" ? route.reason : route.kind;
      assert.equal(text, expected);
    });
  }
}
