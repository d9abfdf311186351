import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import type { HttpField, RequestHead } from "./message.ts";
import { isRefusal, type RawRequest } from "./raw-head.ts";
import { checkRequest } from "./request-rules.ts";

type Lines = readonly (readonly [string, string])[];

const HOST: Lines = [["host", "shop.test"]];

function fieldsOf(lines: Lines): readonly HttpField[] {
  return lines.map(([name, value]) => ({ name, value }));
}

function h1(lines: Lines, more: Partial<RawRequest> = {}): RawRequest {
  return {
    version: "1.1",
    method: "GET",
    target: "/api/x",
    scheme: undefined,
    authority: undefined,
    ended: false,
    ...more,
    fields: fieldsOf(lines),
  };
}

function h2(lines: Lines, more: Partial<RawRequest> = {}): RawRequest {
  return h1(lines, { version: "2", scheme: "http", authority: "shop.test", ended: true, ...more });
}

function accepted(raw: RawRequest, fieldsRead: readonly string[] = []): RequestHead {
  const outcome = checkRequest(raw, new Set(fieldsRead));
  if (isRefusal(outcome)) assert.fail(outcome.reason);
  return outcome;
}

interface Refused {
  readonly name: string;
  readonly raw: RawRequest;
  readonly status?: number;
  readonly fieldsRead?: readonly string[];
}

const refused: readonly Refused[] = [
  { name: "no host", raw: h1([]) },
  { name: "two hosts", raw: h1([...HOST, ...HOST]) },
  { name: "host of HTTP/2 twice", raw: h2([...HOST, ...HOST]) },
  { name: "host that contradicts :authority", raw: h2([["host", "evil.test"]]) },
  { name: "HTTP/2 without an authority", raw: h2([], { authority: undefined }) },
  { name: "scheme ftp", raw: h2([], { scheme: "ftp" }) },
  { name: "connection in HTTP/2", raw: h2([["connection", "close"]]) },
  { name: "transfer-encoding in HTTP/2", raw: h2([["transfer-encoding", "chunked"]]) },
  { name: "upgrade in HTTP/2", raw: h2([["upgrade", "websocket"]]) },
  { name: "keep-alive in HTTP/2", raw: h2([["keep-alive", "1"]]) },
  { name: "length of a body that does not come", raw: h2([["content-length", "5"]]) },
  { name: "absolute-form in HTTP/2", raw: h2([], { target: "http://shop.test/" }) },
  {
    name: "length and coding",
    raw: h1([...HOST, ["content-length", "0"], ["transfer-encoding", "chunked"]]),
  },
  { name: "coding in 1.0", raw: h1([...HOST, ["transfer-encoding", "chunked"]], { version: "1.0" }) },
  { name: "coding gzip, chunked", raw: h1([...HOST, ["transfer-encoding", "gzip, chunked"]]), status: 501 },
  { name: "coding with a parameter", raw: h1([...HOST, ["transfer-encoding", "chunked;q=1"]]) },
  { name: "length with a sign", raw: h1([...HOST, ["content-length", "+5"]]) },
  { name: "length of 2^53", raw: h1([...HOST, ["content-length", "9007199254740992"]]) },
  { name: "CONNECT", raw: h1(HOST, { method: "CONNECT", target: "shop.test:80" }), status: 405 },
  { name: "TRACE", raw: h1(HOST, { method: "TRACE" }), status: 405 },
  { name: "method in lower case", raw: h1(HOST, { method: "get" }) },
  { name: "method in lower case behind its first letter", raw: h1(HOST, { method: "Get" }) },
  { name: "method in upper case behind its first letter", raw: h1(HOST, { method: "gET" }) },
  { name: "method with a leading hyphen", raw: h1(HOST, { method: "-GET" }) },
  { name: "method of 33 letters", raw: h1(HOST, { method: "A".repeat(33) }) },
  { name: "fragment", raw: h1(HOST, { target: "/a#b" }) },
  { name: "other authority in the target", raw: h1(HOST, { target: "http://evil.test/" }) },
  { name: "https in the target", raw: h1(HOST, { target: "https://shop.test/" }) },
  { name: "asterisk of GET", raw: h1(HOST, { target: "*" }) },
  { name: "expectation", raw: h1([...HOST, ["expect", "200-ok"]]), status: 417 },
  {
    name: "expectation twice",
    raw: h1([...HOST, ["expect", "100-continue"], ["expect", "100-continue"]]),
    status: 417,
  },
  { name: "authorization twice", raw: h1([...HOST, ["authorization", "a"], ["authorization", "b"]]) },
  {
    name: "content-type twice",
    raw: h2([
      ["content-type", "a/b"],
      ["content-type", "a/b"],
    ]),
  },
  { name: "connection names cookie", raw: h1([...HOST, ["connection", "cookie"]]) },
  { name: "connection names X-Request-Id", raw: h1([...HOST, ["connection", "X-Request-Id"]]) },
  {
    name: "connection names what policy reads",
    raw: h1([...HOST, ["connection", "x-team"]]),
    fieldsRead: ["x-team"],
  },
  { name: "connection is no list", raw: h1([...HOST, ["connection", "close;x"]]) },
  { name: "imitation of a framing field", raw: h1([...HOST, ["content_length", "5"]]) },
  { name: "imitation of a forwarded field", raw: h2([["x_forwarded_for", "1.1.1.1"]]) },
  { name: "imitation of what policy reads", raw: h1([...HOST, ["x_team", "a"]]), fieldsRead: ["x-team"] },
  {
    name: "websocket with POST",
    raw: h1([...HOST, ["connection", "upgrade"], ["upgrade", "websocket"]], { method: "POST" }),
  },
];

for (const { name, raw, status, fieldsRead } of refused) {
  test(`is refused: ${name}`, () => {
    const outcome = checkRequest(raw, new Set(fieldsRead));
    assert.ok(isRefusal(outcome), "refused");
    assert.equal(outcome.status, status ?? 400);
  });
}

test("what is between two neighbours goes no further; the rest keeps its order", () => {
  const head = accepted(
    h1([
      ["accept", "a"],
      ...HOST,
      ["connection", "X-Hop, keep-alive, te"],
      ["x-hop", "1"],
      ["keep-alive", "timeout=5"],
      ["proxy-connection", "keep-alive"],
      ["proxy-authorization", "secret"],
      ["http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"],
      ["te", "trailers"],
      ["accept", "b"],
      ["session_id", "7"],
    ]),
  );
  assert.deepEqual(
    head.fields,
    fieldsOf([
      ["accept", "a"],
      ["te", "trailers"],
      ["accept", "b"],
      ["session_id", "7"],
    ]),
  );
});

test("fields that may be there once may be there beside each other", () => {
  const single = [
    ["authorization", "Bearer x"],
    ["content-type", "text/plain"],
  ] as const;
  assert.deepEqual(accepted(h1([...HOST, ...single])).fields, fieldsOf(single));
});

test("te other than trailers is removed", () => {
  assert.deepEqual(accepted(h1([...HOST, ["te", "gzip, trailers"]])).fields, []);
});

test("proxy-authorization is no fault in HTTP/2, and goes no further", () => {
  assert.deepEqual(accepted(h2([["proxy-authorization", "secret"]])).fields, []);
});

test("bodies: by length in decimal, chunked, none, or marked by HTTP/2", () => {
  assert.deepEqual(accepted(h1([...HOST, ["content-length", "0005"]])).body, { kind: "length", bytes: 5 });
  assert.deepEqual(accepted(h1([...HOST, ["transfer-encoding", "CHUNKED"]])).body, { kind: "marked" });
  assert.deepEqual(accepted(h1(HOST)).body, { kind: "none" });
  assert.deepEqual(accepted(h2([])).body, { kind: "none" });
  assert.deepEqual(accepted(h2([], { ended: false })).body, { kind: "marked" });
  assert.deepEqual(accepted(h2([["content-length", "5"]], { ended: false })).body, {
    kind: "length",
    bytes: 5,
  });
});

test("an absolute target of the same authority is reduced to its path", () => {
  const reduce = (target: string, method = "GET"): string =>
    accepted(h1([["host", "Shop.test"]], { target, method })).target;
  assert.equal(reduce("http://shop.TEST:80/a?b"), "/a?b");
  assert.equal(reduce("HTTP://shop.test"), "/");
  assert.equal(reduce("http://shop.test?q"), "/?q");
  assert.equal(reduce("http://shop.test", "OPTIONS"), "*");
});

test("an upgrade needs both fields and HTTP/1.1; a list may offer more", () => {
  const both: Lines = [
    ["connection", "keep-alive, Upgrade"],
    ["upgrade", "foo/2, WebSocket"],
  ];
  assert.equal(accepted(h1([...HOST, ...both])).upgrade, "websocket");
  assert.equal(accepted(h1([...HOST, ...both], { version: "1.0" })).upgrade, undefined);
  assert.equal(accepted(h1([...HOST, ["upgrade", "websocket"]])).upgrade, undefined);
  assert.equal(accepted(h1([...HOST, ["connection", "upgrade"], ["upgrade", "h2c"]])).upgrade, undefined);
  assert.deepEqual(accepted(h1([...HOST, ...both])).fields, []);
});

test("expect is a fact of the head, not a field; 1.0 has none", () => {
  const lines: Lines = [...HOST, ["expect", "100-Continue"]];
  assert.equal(accepted(h1(lines)).expectsContinue, true);
  assert.deepEqual(accepted(h1(lines)).fields, []);
  assert.equal(accepted(h1(lines, { version: "1.0" })).expectsContinue, false);
});

test("closes: asked for, or HTTP/1.0 whatever it asks for", () => {
  const closes = (raw: RawRequest): boolean => {
    const outcome = checkRequest(raw);
    assert.ok(!isRefusal(outcome));
    return outcome.closes;
  };
  assert.equal(closes(h1([...HOST, ["connection", "Close"]])), true);
  assert.equal(closes(h1(HOST)), false);
  assert.equal(closes(h1([...HOST, ["connection", "keep-alive"]], { version: "1.0" })), true);
  assert.equal(closes(h2([])), false);
});

test("both versions judge the same request alike", () => {
  const word = fc.stringMatching(/^[a-zA-Z0-9.:@/[\]_-]{0,12}$/);
  const name = fc.oneof(
    fc.constantFrom(
      "content-length",
      "expect",
      "authorization",
      "content-type",
      "cookie",
      "x_forwarded_for",
      "x-a",
    ),
    fc.stringMatching(/^[a-z][a-z0-9_-]{0,8}$/),
  );
  const value = fc.oneof(fc.constantFrom("5", "005", "100-continue", "a, b"), word);
  fc.assert(
    fc.property(word, word, fc.array(fc.tuple(name, value), { maxLength: 5 }), (authority, target, lines) => {
      const one = checkRequest(h1([["host", authority], ...lines], { target }));
      const two = checkRequest(h2(lines, { authority, target, ended: false }));
      const isAbsolute = /^http:/i.test(target);
      if (!isAbsolute) assert.equal(isRefusal(one), isRefusal(two));
      if (isRefusal(one) || isRefusal(two)) return;
      assert.deepEqual([one.target, one.authority, one.fields], [two.target, two.authority, two.fields]);
    }),
    { numRuns: 2_000 },
  );
});

test("whatever is accepted has one host, one target and no field of the connection", () => {
  const text = fc.string({ unit: "binary-ascii", maxLength: 10 });
  const name = fc.oneof(
    text,
    fc.constantFrom("connection", "upgrade", "te", "transfer-encoding", "keep-alive", "host"),
  );
  fc.assert(
    fc.property(text, text, fc.array(fc.tuple(name, text), { maxLength: 6 }), (host, target, lines) => {
      const outcome = checkRequest(h1([["host", host], ...lines], { target }));
      if (isRefusal(outcome)) return;
      assert.match(outcome.target, /^(?:\/[!-~]*|\*)$/);
      assert.match(outcome.authority, /^[A-Za-z0-9.:[\]_-]+$/);
      for (const field of outcome.fields)
        assert.doesNotMatch(field.name, /^(?:connection|upgrade|transfer-encoding|keep-alive|host)$/);
    }),
    { numRuns: 2_000 },
  );
});
