import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  data,
  frame,
  headers,
  indexedEntry,
  literal,
  PREFACE,
  rst,
  settings,
  windowUpdate,
} from "../testing/frames.ts";
import { settle } from "../testing/manual-clock.ts";
import {
  answerOk,
  requestServer,
  requestBlock,
  headerLists,
  firstSeen,
  rawRequestServer,
  SETTINGS_ACK,
} from "../testing/request-server.ts";

const POST = requestBlock("POST");
const GET = requestBlock("GET");
const END = 5;

describe("content-length", () => {
  const announced = (bytes: number): Buffer => requestBlock("POST", [["content-length", String(bytes)]]);

  it("is the body: the last octet waits for END_STREAM", () => {
    const server = requestServer();
    server.send(headers(1, announced(5)), data(1, "hel"));
    server.send(data(1, "lo"));
    const request = firstSeen(server);
    assert.deepEqual([request.body, request.end], ["hell", "open"]);
    server.send(data(1, "", 1));
    assert.deepEqual([request.body, request.end], ["hello", "complete"]);
  });

  it("is the body: nothing waits where END_STREAM comes along", () => {
    const server = requestServer();
    server.send(headers(1, announced(5)), data(1, "hello", 1));
    assert.deepEqual([firstSeen(server).body, firstSeen(server).end], ["hello", "complete"]);
  });

  it("of 0 without END_STREAM is shown to nobody before the end proves it", async () => {
    const server = requestServer();
    server.send(headers(1, announced(0)));
    assert.equal(server.seen.length, 0);
    server.send(data(1, "", 1));
    assert.equal(firstSeen(server).end, "complete");
    server.send(headers(3, announced(0)), rst(3), headers(5, announced(0)), data(5, "x"));
    assert.equal(server.seen.length, 1);
    assert.deepEqual(await server.answer(), ["RST 5 1"]);
  });

  for (const [what, parts] of [
    ["more in one frame", [data(1, "hello!", 1)]],
    ["more in a later frame", [data(1, "hello"), data(1, "!", 1)]],
    ["less", [data(1, "hell", 1)]],
    ["less, ended by trailers", [data(1, "hell"), headers(1, literal("x-sum", "7"), END)]],
  ] as const) {
    it(`${what}: the request is aborted, and never looked complete`, async () => {
      const server = requestServer();
      server.send(headers(1, announced(5)), ...parts);
      const request = firstSeen(server);
      assert.equal(request.end, "aborted");
      assert.ok(request.body.length < 5);
      assert.deepEqual(await server.answer(), ["RST 1 1"]);
      assert.match(server.refused.join(), /^400 body (longer|shorter) than content-length$/);
    });
  }
});

describe("refusals", () => {
  const many = Array.from({ length: 200 }, (_, i) => [`x-${i}`, "1"] as const);
  for (const [what, block, status] of [
    ["CONNECT", Buffer.concat([literal(":method", "CONNECT"), literal(":authority", "10.0.0.1:80")]), 405],
    ["TRACE", requestBlock("TRACE"), 405],
    ["a method in lower case", requestBlock("get"), 400],
    ["a fragment", requestBlock("GET", [], "/a#b"), 400],
    ["another expectation", requestBlock("POST", [["expect", "200-ok"]]), 417],
    [
      "two content types",
      requestBlock("POST", [
        ["content-type", "a/b"],
        ["content-type", "a/b"],
      ]),
      400,
    ],
    ["more than 200 fields", requestBlock("GET", many), 431],
    ["a name that the policy may take for one it reads", requestBlock("GET", [["x_tenant", "1"]]), 400],
  ] as const) {
    it(`${what}: ${status}, and nothing comes through`, async () => {
      const server = requestServer({ fieldsRead: () => new Set(["x-tenant"]) });
      server.send(headers(1, block, END));
      assert.equal(server.seen.length, 0);
      const frames = await server.frames();
      const reason = frames.find(({ type }) => type === 0)?.payload.toString() ?? "";
      const head = `:status=${status} content-type=text/plain content-length=${reason.length}`;
      assert.deepEqual([headerLists(frames), server.refused], [[head], [`${status} ${reason}`]]);
      server.send(headers(3, GET, END));
      assert.equal(server.seen.length, 1, "the connection lives on");
    });
  }

  it("a head above 64 KiB: 431; its table entries count, so that the next request may name them", async () => {
    const server = requestServer();
    const large = Buffer.concat([GET, indexedEntry("x-large", "a".repeat(3_900))]);
    const named = Buffer.from([0xbe]);
    server.send(headers(1, Buffer.concat([large, ...Array.from({ length: 20 }, () => named)])));
    const frames = await server.frames();
    assert.deepEqual(server.refused, ["431 head too large"]);
    assert.match(headerLists(frames).join(), /^:status=431 content-type=text\/plain content-length=14$/);
    server.send(data(1, "of a body that nobody wants", 1), headers(3, Buffer.concat([GET, named]), END));
    const fields = firstSeen(server).exchange.head.fields.map(({ name, value }) => [name, value.length]);
    assert.deepEqual([server.seen.length, fields], [1, [["x-large", 3_900]]]);
  });

  it("trailers above 64 KiB: reset, and the request is aborted", async () => {
    const server = requestServer();
    const large = Buffer.concat([
      indexedEntry("x-large", "a".repeat(3_900)),
      ...Array.from({ length: 20 }, () => Buffer.from([0xbe])),
    ]);
    server.send(headers(1, POST), data(1, "a"), headers(1, large, END));
    assert.equal(firstSeen(server).end, "aborted");
    assert.deepEqual(await server.answer(), ["RST 1 11"]);
  });

  for (const [what, begin, end] of [
    ["HEADERS without its end", headers(1, GET, 1), frame(9, 4, 1)],
    ["half a HEADERS frame", headers(1, GET, END).subarray(0, 20), headers(1, GET, END).subarray(20)],
    [
      "trailers without their end",
      Buffer.concat([headers(1, POST), headers(1, literal("a", "b"), 1)]),
      frame(9, 4, 1),
    ],
  ] as const) {
    it(`${what}: 10 s, then 408 and GOAWAY; complete in that time it counts`, async () => {
      const server = requestServer();
      server.send(begin);
      await server.clock.advance(9_999);
      server.send(end);
      await server.clock.advance(20_000);
      assert.deepEqual([await server.answer(), firstSeen(server).end], [[], "complete"]);
      const slow = requestServer();
      slow.send(begin);
      await slow.clock.advance(10_000);
      assert.deepEqual(await slow.answer(), ["GOAWAY 11"]);
      slow.handle.drop();
      await settle();
      assert.deepEqual(slow.refused, ["408 head not complete in time"]);
    });
  }

  it("a block that is complete ends its time, another one has its own", async () => {
    const server = requestServer();
    server.send(headers(1, GET, 1));
    await server.clock.advance(6_000);
    server.send(frame(9, 4, 1), headers(3, GET, 1));
    await server.clock.advance(9_999);
    assert.deepEqual([server.seen.length, await server.answer()], [1, []]);
    await server.clock.advance(1);
    assert.deepEqual(await server.answer(), ["GOAWAY 11"]);
  });

  it("of a request with a body drop the body", async () => {
    const server = requestServer();
    server.send(headers(1, requestBlock("TRACE")), data(1, "GET / HTTP/1.1\r\n\r\n", 1));
    assert.deepEqual(
      [server.seen.length, await server.answer()],
      [0, ["HEADERS 1", "DATA 1 25", "END 1", "RST 1 0"]],
    );
  });

  it("that nobody reads do not keep the connection", async () => {
    const server = rawRequestServer({ idleMs: 1_000 });
    server.send(PREFACE, settings([4, 0]), SETTINGS_ACK, headers(1, requestBlock("TRACE"), END));
    await server.clock.advance(30_000);
    assert.deepEqual((await server.answer()).slice(0, 2), ["HEADERS 1", "RST 1 8"]);
    await server.clock.advance(1_000);
    assert.deepEqual(await server.answer(), ["GOAWAY 0"]);
  });

  it("of trailers that the policy reads: reset, and the request is aborted", async () => {
    const server = requestServer({ fieldsRead: () => new Set(["x-tenant"]) });
    server.send(headers(1, POST), data(1, "a"), headers(1, literal("x-tenant", "7"), END));
    assert.equal(firstSeen(server).end, "aborted");
    assert.deepEqual(await server.answer(), ["RST 1 1"]);
  });

  it("of malformed trailers: reset, and the request is aborted", async () => {
    const server = requestServer();
    server.send(headers(1, POST), data(1, "a"), headers(1, literal(":path", "/admin"), END));
    assert.equal(firstSeen(server).end, "aborted");
    assert.deepEqual(await server.answer(), ["RST 1 1"]);
  });

  it("say why in constant words", () => {
    const server = requestServer();
    server.send(headers(1, requestBlock("GET", [["connection", "secret"]]), END));
    server.send(headers(3, requestBlock("GET", [["host", "secret"]]), END));
    assert.deepEqual(server.refused, ["400 connection-specific field", "400 host contradicts :authority"]);
  });
});

describe("floods", () => {
  const cases: readonly (readonly [string, (i: number) => Buffer])[] = [
    ["requests that are reset at once", (i) => Buffer.concat([headers(2 * i + 1, GET, END), rst(2 * i + 1)])],
    [
      "requests with heads that are too large",
      (i) =>
        headers(
          2 * i + 1,
          Buffer.concat([GET, indexedEntry("x", "a".repeat(3_900)), Buffer.alloc(20, 0xbe)]),
          END,
        ),
    ],
    ["requests that are malformed", (i) => headers(2 * i + 1, requestBlock("", []), END)],
    [
      "bodies that contradict their length",
      (i) =>
        Buffer.concat([
          headers(2 * i + 1, requestBlock("POST", [["content-length", "1"]])),
          data(2 * i + 1, "xx", 1),
        ]),
    ],
    ["PING", () => frame(6, 0, 0, Buffer.alloc(8))],
    ["SETTINGS", () => settings()],
    ["PRIORITY", () => frame(2, 0, 1, Buffer.from([0, 0, 0, 3, 1]))],
    ["WINDOW_UPDATE", () => windowUpdate(0, 1)],
    ["frames of an unknown type", () => frame(0xfa, 0, 0)],
  ];
  for (const [what, part] of cases) {
    it(`${what}: GOAWAY(ENHANCE_YOUR_CALM)`, async () => {
      const server = requestServer();
      let sent = 0;
      let answers: string[] = [];
      for (; sent < 5_000 && !answers.includes("GOAWAY 11"); sent++) {
        server.send(part(sent));
        answers = await server.answer();
      }
      assert.ok(sent < 2_100, `${sent} were taken`);
      server.handle.drop();
      await settle();
      assert.ok(server.refused.includes("400 ENHANCE_YOUR_CALM"));
    });
  }

  it("are told from a busy caller: credit goes with what is sent, resets with time", async () => {
    const server = requestServer({ onComplete: answerOk });
    const body = data(1, Buffer.alloc(16_384));
    server.send(headers(1, POST));
    for (let i = 0; i < 10_000; i++) server.send(body, windowUpdate(0, 1_000));
    for (let i = 1; i < 3_000; i++) {
      server.send(headers(2 * i + 1, POST), rst(2 * i + 1));
      await server.clock.advance(10);
    }
    assert.equal((await server.answer()).includes("GOAWAY 11"), false);
  });

  it("of bytes in one frame: GOAWAY(FRAME_SIZE_ERROR)", async () => {
    const server = requestServer();
    server.send(headers(1, POST), data(1, Buffer.alloc(16_385)));
    assert.deepEqual(await server.answer(), ["GOAWAY 6"]);
  });

  it("of streams: what is above the bound is refused, and nothing of it comes through", async () => {
    const server = requestServer();
    for (let i = 0; i < 300; i++) server.send(headers(2 * i + 1, POST));
    assert.equal(server.seen.length, 250);
    assert.equal((await server.answer()).filter((each) => each.endsWith(" 7")).length, 50);
  });
});
