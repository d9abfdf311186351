import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_FIRST_BYTES, readFirstBytes, type FirstBytes } from "./first-bytes.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const CASES: readonly (readonly [string, string, FirstBytes])[] = [
  ["nothing", "", "more"],
  ["an ordinary request", "GET /items HTTP/1.1\r\n", "http1"],
  ["a request so far", "GET /", "http1"],
  ["a method so far", "DEL", "more"],
  ["a method in lower case: some servers take it", "get /items HTTP/1.1\r\n", "http1"],
  ["two blanks and a tab", "GET \t /items", "http1"],
  ["blank lines in front", "\r\n\n\r\nGET /", "http1"],
  ["a blank in front: some servers skip it", " GET /x HTTP/1.1\r\n", "http1"],
  ["HTTP/0.9", "GET items\n", "http1"],
  ["absolute form", "GET http://shop/ HTTP/1.1", "http1"],
  ["a target of no known form, with a version", "PUT items HTTP/1.1\r\n", "http1"],
  ["OPTIONS of the server", "OPTIONS * HTTP/1.1", "http1"],
  ["an unknown method", "FROBNICATE /x", "http1"],
  ["CONNECT", "CONNECT other:443 HTTP/1.1\r\n", "http1"],
  ["the preface of HTTP/2", PREFACE, "http2"],
  ["the preface and more", `${PREFACE}\0\0\0`, "http2"],
  ["half of the preface", PREFACE.slice(0, 10), "more"],
  ["a broken preface is read as HTTP/1", "PRI * HTTP/2.0\r\n\r\nXX", "http1"],
  ["TLS", "\x16\x03\x01\x02\x00", "tls"],
  ["one byte of TLS", "\x16", "more"],
  ["not TLS after all", "\x16\x04", "other"],
  ["a text protocol", "EHLO client.example\r\n", "other"],
  ["a text protocol that has not said enough", "EHLO client", "more"],
  ["redis", "*1\r\n$4\r\nPING\r\n", "other"],
  ["memcached", "get key\r\n", "other"],
  ["a binary protocol", "\x00\x00\x00\x17hello", "other"],
  ["postgres", "\x00\x00\x00\x08\x04\xd2\x16\x2f", "other"],
  ["blank lines without end are for the strict reader", "\r\n".repeat(MAX_FIRST_BYTES), "http1"],
  ["a token without end is for the strict reader", "A".repeat(MAX_FIRST_BYTES), "http1"],
];

for (const [name, text, expected] of CASES) {
  test(`first bytes: ${name}`, () => {
    assert.equal(readFirstBytes(Buffer.from(text, "latin1")), expected);
  });
}

test("first bytes: a verdict never changes when more arrives", () => {
  for (const [name, text] of CASES) {
    const bytes = Buffer.from(text, "latin1");
    let verdict: FirstBytes = "more";
    for (let length = 0; length <= bytes.length; length++) {
      const now = readFirstBytes(bytes.subarray(0, length));
      if (verdict !== "more") assert.equal(now, verdict, `${name} at ${length}`);
      verdict = now;
    }
  }
});
