import assert from "node:assert/strict";
import test from "node:test";
import { isRefusal } from "./raw-head.ts";
import { checkTrailers } from "./trailer-rules.ts";

const FORBIDDEN = [
  "content-length",
  "transfer-encoding",
  "host",
  "connection",
  "trailer",
  "te",
  "upgrade",
  "expect",
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-client-cert",
  "x-envoy-original-path",
  "x-request-id",
  "cache-control",
  "content-type",
  "content-encoding",
  "content-range",
  "x_forwarded_for",
  "content_length",
];

for (const name of FORBIDDEN) {
  test(`trailer ${name}: refused in a request, left out of an answer`, () => {
    const fields = [
      { name: "x-sum", value: "1" },
      { name, value: "x" },
    ];
    assert.ok(isRefusal(checkTrailers(fields, "request")));
    assert.deepEqual(checkTrailers(fields, "response"), [{ name: "x-sum", value: "1" }]);
  });
}

test("harmless trailers go on; those that describe the body are left out", () => {
  const fields = ["grpc-status", "content-digest", "x-sum"].map((name) => ({ name, value: "1" }));
  const kept = [fields[0], fields[2]];
  assert.deepEqual(checkTrailers(fields, "request"), kept);
  assert.deepEqual(checkTrailers(fields, "response"), kept);
});

test("what policy reads may not come after the decision", () => {
  const read = new Set(["x-team"]);
  for (const name of ["x-team", "x_team"])
    assert.ok(isRefusal(checkTrailers([{ name, value: "a" }], "request", read)), name);
});
