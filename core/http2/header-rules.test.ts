import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { checkTrailers, isFieldValue, readRequestHead, readResponseHead } from "./header-rules.ts";
import { headerField, type HeaderField } from "./hpack/header-field.ts";

type Pairs = readonly (readonly [name: string, value: string])[];

const fieldsOf = (pairs: Pairs): HeaderField[] => pairs.map(([name, value]) => headerField(name, value));

const GET: Pairs = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/api/x"],
  [":authority", "shop.test"],
];
const CONNECT: Pairs = [
  [":method", "CONNECT"],
  [":authority", "10.0.0.7:8080"],
];
const WEBSOCKET: Pairs = [
  [":method", "CONNECT"],
  [":protocol", "websocket"],
  [":scheme", "https"],
  [":path", "/chat"],
  [":authority", "shop.test"],
];

function replaced(pairs: Pairs, name: string, value: string): Pairs {
  return pairs.map(([n, v]) => (n === name ? [n, value] : [n, v]));
}

function without(pairs: Pairs, name: string): Pairs {
  return pairs.filter(([n]) => n !== name);
}

const badFields: Pairs = [
  ["x", "a\r\nevil: 1"],
  ["x", "a\nb"],
  ["x", "a\rb"],
  ["x", "a\0b"],
  ["x", "a\x01b"],
  ["x", "a\x7fb"],
  ["x", " a"],
  ["x", "a "],
  ["x", "\ta"],
  ["x", "a\t"],
  ["x", " "],
  ["X-Up", "1"],
  ["x y", "1"],
  ["x ", "1"],
  [" x", "1"],
  ["", "1"],
  ["x\0", "1"],
  ["x\ny", "1"],
  ["x(y)", "1"],
  ["x:y", "1"],
  ["x\x01", "1"],
  ["caf\u00e9", "1"],
  ["connection", "close"],
  ["connection", "x-user"],
  ["proxy-connection", "keep-alive"],
  ["keep-alive", "timeout=5"],
  ["transfer-encoding", "chunked"],
  ["transfer-encoding", "identity"],
  ["upgrade", "h2c"],
  ["http2-settings", "AAMAAABk"],
  ["te", "gzip"],
  ["te", "trailers, gzip"],
  ["te", ""],
  [":unknown", "1"],
  [":", "1"],
];

for (const [name, value] of badFields) {
  const title = JSON.stringify(`${name}: ${value}`);
  test(`request, response, CONNECT and trailers refuse ${title}`, () => {
    const bad = [headerField(name, value)];
    assert.equal(readRequestHead([...fieldsOf(GET), ...bad]).kind, "malformed");
    assert.equal(readRequestHead([...fieldsOf(CONNECT), ...bad]).kind, "malformed");
    assert.equal(readResponseHead([headerField(":status", "200"), ...bad]).kind, "malformed");
    assert.equal(checkTrailers(bad).kind, "malformed");
  });
}

const badRequests: readonly { readonly name: string; readonly pairs: Pairs }[] = [
  { name: "nothing at all", pairs: [] },
  { name: "no :method", pairs: without(GET, ":method") },
  { name: "no :scheme", pairs: without(GET, ":scheme") },
  { name: "no :path", pairs: without(GET, ":path") },
  { name: "empty :method", pairs: replaced(GET, ":method", "") },
  { name: ":method with a colon", pairs: replaced(GET, ":method", "GET:") },
  { name: ":method with a space", pairs: replaced(GET, ":method", "GET /") },
  { name: "empty :scheme", pairs: replaced(GET, ":scheme", "") },
  { name: ":scheme with a path", pairs: replaced(GET, ":scheme", "http://x/ ") },
  { name: "empty :path", pairs: replaced(GET, ":path", "") },
  { name: ":path without a slash", pairs: replaced(GET, ":path", "api/x") },
  { name: ":path with a space", pairs: replaced(GET, ":path", "/api/x y") },
  { name: ":path with CRLF", pairs: replaced(GET, ":path", "/ HTTP/1.1\r\nHost: x") },
  { name: ":path with a high byte", pairs: replaced(GET, ":path", "/\u00ff") },
  { name: "asterisk with GET", pairs: replaced(GET, ":path", "*") },
  { name: ":authority with user information", pairs: replaced(GET, ":authority", "a:b@shop.test") },
  { name: "host with user information", pairs: [...without(GET, ":authority"), ["host", "a@b"]] },
  { name: "host that differs", pairs: [...GET, ["host", "evil.test"]] },
  { name: "host that is empty", pairs: [...GET, ["host", ""]] },
  { name: "host twice", pairs: [...GET, ["host", "shop.test"], ["host", "shop.test"]] },
  { name: ":status in a request", pairs: [...GET, [":status", "200"]] },
  { name: ":protocol without CONNECT", pairs: [...GET, [":protocol", "websocket"]] },
  ...GET.map((pair) => ({ name: `${pair[0]} twice`, pairs: [...GET, pair] })),
  ...GET.map((pair) => ({
    name: `${pair[0]} late`,
    pairs: [...without(GET, pair[0]), ["x", "y"], pair] as Pairs,
  })),
  { name: "CONNECT with :path", pairs: [...CONNECT, [":path", "/"]] },
  { name: "CONNECT with :scheme", pairs: [...CONNECT, [":scheme", "https"]] },
  { name: "CONNECT without :authority", pairs: without(CONNECT, ":authority") },
  { name: "CONNECT with :authority twice", pairs: [...CONNECT, [":authority", "10.0.0.7:8080"]] },
  { name: "extended CONNECT without :path", pairs: without(WEBSOCKET, ":path") },
  { name: "extended CONNECT without :scheme", pairs: without(WEBSOCKET, ":scheme") },
  { name: "extended CONNECT without :authority", pairs: without(WEBSOCKET, ":authority") },
  { name: "extended CONNECT with a bad protocol", pairs: replaced(WEBSOCKET, ":protocol", "web socket") },
];

for (const { name, pairs } of badRequests) {
  test(`refuses a request: ${name}`, () => assert.equal(readRequestHead(fieldsOf(pairs)).kind, "malformed"));
}

const goodRequests: readonly { readonly name: string; readonly pairs: Pairs; readonly expect: object }[] = [
  {
    name: "a plain GET",
    pairs: GET,
    expect: { kind: "request", method: "GET", scheme: "http", path: "/api/x", authority: "shop.test" },
  },
  {
    name: "host instead of :authority",
    pairs: [...without(GET, ":authority"), ["host", "shop.test"]],
    expect: { kind: "request", method: "GET", scheme: "http", path: "/api/x", authority: "shop.test" },
  },
  {
    name: "host equal but for case",
    pairs: [...GET, ["host", "SHOP.test"], ["te", "trailers"]],
    expect: { kind: "request", method: "GET", scheme: "http", path: "/api/x", authority: "shop.test" },
  },
  {
    name: "OPTIONS with an asterisk",
    pairs: replaced(replaced(GET, ":path", "*"), ":method", "OPTIONS"),
    expect: { kind: "request", method: "OPTIONS", scheme: "http", path: "*", authority: "shop.test" },
  },
  {
    name: "CONNECT with the fields of HBONE",
    pairs: [
      ...CONNECT,
      ["baggage", "k8s.namespace.name=a"],
      ["forwarded", 'for="10.0.0.1:2"'],
      ["traceparent", "00-a-b-00"],
    ],
    expect: { kind: "connect", authority: "10.0.0.7:8080" },
  },
  {
    name: "CONNECT with an empty authority, for the tunnel to answer",
    pairs: replaced(CONNECT, ":authority", ""),
    expect: { kind: "connect", authority: "" },
  },
  {
    name: "extended CONNECT",
    pairs: WEBSOCKET,
    expect: {
      kind: "extended-connect",
      protocol: "websocket",
      scheme: "https",
      path: "/chat",
      authority: "shop.test",
    },
  },
  {
    name: "values with tab inside, high bytes, or nothing",
    pairs: [...GET, ["x-a", "a\tb"], ["x-b", "caf\u00e9"], ["x-c", ""]],
    expect: { kind: "request", method: "GET", scheme: "http", path: "/api/x", authority: "shop.test" },
  },
];

for (const { name, pairs, expect } of goodRequests) {
  test(`accepts a request: ${name}`, () => assert.deepEqual(readRequestHead(fieldsOf(pairs)), expect));
}

for (const status of ["", "20", "2000", "2x0", "020", "+20", "101", " 200"]) {
  test(`refuses :status ${JSON.stringify(status)}`, () => {
    assert.equal(readResponseHead([headerField(":status", status)]).kind, "malformed");
  });
}

for (const status of [100, 103, 200, 204, 401, 503, 999]) {
  test(`accepts :status ${status}`, () => {
    assert.deepEqual(readResponseHead([headerField(":status", String(status)), headerField("x", "y")]), {
      kind: "response",
      status,
    });
  });
}

test("refuses a response without :status, with two, with a late one, with a request's pseudo field", () => {
  const status = headerField(":status", "200");
  for (const fields of [
    [],
    [status, status],
    [headerField("x", "y"), status],
    [status, headerField(":path", "/")],
  ])
    assert.equal(readResponseHead(fields).kind, "malformed");
});

test("trailers: regular fields only", () => {
  assert.equal(checkTrailers(fieldsOf([["grpc-status", "0"]])).kind, "trailers");
  assert.equal(checkTrailers([]).kind, "trailers");
  for (const name of [":path", ":status", ":method"])
    assert.equal(checkTrailers([headerField(name, "200")]).kind, "malformed");
});

test("arbitrary fields never throw, and nothing with a line break, NUL or upper-case name passes", () => {
  const text = fc.string({ unit: "binary-ascii", maxLength: 12 });
  fc.assert(
    fc.property(fc.array(fc.tuple(text, text), { maxLength: 5 }), (pairs) => {
      const verdict = readRequestHead([...fieldsOf(GET), ...fieldsOf(pairs)]);
      if (verdict.kind === "malformed") return;
      for (const [name, value] of pairs) {
        assert.doesNotMatch(name, /[A-Z\s\0:]/);
        assert.doesNotMatch(value, /[\r\n\0]/);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("reasons never repeat what was sent", () => {
  const head = readRequestHead([...fieldsOf(GET), headerField("authorization", "Bearer secret\n")]);
  assert.equal(head.kind === "malformed" && head.reason.includes("secret"), false);
});

test("a value is judged alike by character and as a whole", () => {
  for (let code = 0; code <= 0x17f; code++) {
    const character = String.fromCharCode(code);
    const allowed = code === 0x09 || (code >= 0x20 && code !== 0x7f && code <= 0xff);
    assert.equal(isFieldValue(`a${character}b`), allowed, `short, ${code}`);
    assert.equal(isFieldValue(`${"a".repeat(30)}${character}b`), allowed, `long, ${code}`);
  }
});
