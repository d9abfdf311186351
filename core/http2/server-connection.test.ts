import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ResponseHead } from "../http/message.ts";
import {
  data,
  headers,
  literal,
  PREFACE,
  rst,
  settings,
  windowUpdate,
  type Frame,
} from "../testing/frames.ts";
import { settle } from "../testing/manual-clock.ts";
import {
  answerOk,
  rawRequestServer,
  requestServer,
  requestBlock,
  headerLists,
  firstSeen,
  SETTINGS_ACK,
} from "../testing/request-server.ts";
import { KeptLimit } from "../handle/kept-bytes.ts";
import { SMALL_STREAM_FLOOR } from "./flow-control.ts";

const POST = requestBlock("POST");
const GET = requestBlock("GET");
const END = 5;

const ok = (extra: Partial<ResponseHead> = {}): ResponseHead => ({
  status: 200,
  fields: [],
  body: { kind: "marked" },
  ...extra,
});

function credit(frames: readonly Frame[], streamId: number): number {
  const updates = frames.filter((each) => each.type === 8 && each.streamId === streamId);
  return updates.reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
}

describe("requests", () => {
  it("come with their head as core/http has it", () => {
    const server = requestServer();
    const fields = [
      ["cookie", "a=1"],
      ["x-one", "1"],
      ["cookie", "b=2"],
      ["te", "trailers"],
      ["expect", "100-continue"],
      ["content-length", "3"],
    ] as const;
    server.send(headers(1, requestBlock("POST", fields)));
    const { head } = firstSeen(server).exchange;
    const { fields: got, ...rest } = head;
    assert.deepEqual(
      got.map(({ name, value }) => [name, value]),
      [
        ["cookie", "a=1; b=2"],
        ["x-one", "1"],
        ["te", "trailers"],
      ],
    );
    assert.deepEqual(
      [rest.version, rest.method, rest.target, rest.authority, rest.scheme, rest.body, rest.expectsContinue],
      ["2", "POST", "/a?b=1", "shop.test", "http", { kind: "length", bytes: 3 }, true],
    );
  });

  it("come with body and trailers, and the answer goes back with its own", async () => {
    const server = requestServer();
    server.send(
      headers(1, POST),
      data(1, "hello "),
      data(1, "world"),
      headers(1, literal("x-sum", "7"), END),
    );
    const request = firstSeen(server);
    assert.deepEqual([request.end, request.body], ["complete", "hello world"]);
    assert.deepEqual(
      request.trailers.map(({ name, value }) => `${name}=${value}`),
      ["x-sum=7"],
    );
    request.exchange.sendInterim({
      status: 103,
      fields: [{ name: "link", value: "</x>" }],
      body: { kind: "none" },
    });
    request.exchange.sendInterim({ status: 101, fields: [], body: { kind: "none" } });
    request.exchange.sendHead(
      ok({ fields: [{ name: "x-two", value: "2" }], body: { kind: "length", bytes: 4 } }),
    );
    request.exchange.write(Buffer.from("done"));
    request.exchange.end([{ name: "x-end", value: "e" }]);
    const frames = await server.frames();
    assert.deepEqual(headerLists(frames), [
      ":status=103 link=</x>",
      ":status=200 x-two=2 content-length=4",
      "x-end=e",
    ]);
    assert.deepEqual(
      frames.map(({ type, flags }) => `${type} ${flags & 1}`),
      ["1 0", "1 0", "0 0", "1 1"],
    );
    assert.equal(frames[2]?.payload.toString(), "done");
  });

  it("without a body end with their head, and so does an answer without one", async () => {
    const server = requestServer();
    server.send(headers(1, requestBlock("HEAD"), END));
    const { exchange, end } = firstSeen(server);
    assert.deepEqual([exchange.head.body, end], [{ kind: "none" }, "complete"]);
    exchange.sendHead(ok({ fields: [{ name: "content-length", value: "9" }], body: { kind: "none" } }));
    exchange.end([]);
    assert.equal(exchange.write(Buffer.from("x")), "closed");
    const frames = await server.frames();
    assert.deepEqual(headerLists(frames), [":status=200 content-length=9"]);
    assert.deepEqual(
      frames.map(({ type, flags }) => [type, flags & 1]),
      [[1, 1]],
    );
  });

  it("bring no body before they are started, and then all of it", async () => {
    const server = requestServer({ onRequest: () => undefined });
    server.send(headers(1, POST), data(1, "early"), data(1, " bird", 1));
    const request = firstSeen(server);
    assert.deepEqual([request.body, request.end], ["", "open"]);
    request.exchange.start(request);
    assert.equal(request.body, "", "never before start returns");
    await settle();
    assert.deepEqual([request.body, request.end], ["early bird", "complete"]);
  });

  it("bring nothing while paused; the caller gets credit only for what was taken", async () => {
    const server = requestServer();
    server.send(headers(1, POST));
    const request = firstSeen(server);
    request.exchange.pause();
    const half = SMALL_STREAM_FLOOR / 2;
    for (let sent = 0; sent < SMALL_STREAM_FLOOR; sent += 16_384) server.send(data(1, Buffer.alloc(16_384)));
    assert.deepEqual([request.body.length, credit(await server.frames(), 1)], [0, 0]);
    request.exchange.resume();
    await settle();
    assert.equal(request.body.length, SMALL_STREAM_FLOOR);
    assert.ok(credit(await server.frames(), 1) >= half);
  });

  it("are given up, not kept, once the process keeps too much, and what was kept is free again", async () => {
    const keptLimit = new KeptLimit(32_768);
    const server = requestServer({ keptLimit, onRequest: ({ exchange }) => exchange.pause() });
    server.send(
      headers(1, POST),
      headers(3, POST),
      data(1, Buffer.alloc(10_000)),
      data(1, Buffer.alloc(10_000)),
    );
    server.send(data(3, "one too many"));
    assert.deepEqual(await server.answer(), ["RST 3 11"]);
    assert.deepEqual(server.refused, ["503 too much is kept for readers that pause"]);
    server.send(rst(1), headers(5, POST), data(5, "x"));
    assert.equal(keptLimit.usedBytes, 16_384);
    assert.deepEqual(await server.answer(), []);
  });

  it("are credited for what was taken before a pause within one burst", async () => {
    const server = requestServer();
    server.send(headers(1, POST));
    const request = firstSeen(server);
    const half = SMALL_STREAM_FLOOR / 2;
    let taken = 0;
    request.onBody = (bytes) => {
      taken += bytes.length;
      if (taken >= half) request.exchange.pause();
    };
    server.send(data(1, Buffer.alloc(half / 2)), data(1, Buffer.alloc(half / 2)), data(1, "kept"));
    assert.equal(taken, half);
    assert.ok(credit(await server.frames(), 1) >= half);
  });

  it("that bring more than the window of a paused reader are reset: memory is bounded", async () => {
    const server = requestServer({ onRequest: ({ exchange }) => exchange.pause() });
    server.send(headers(1, POST));
    for (let sent = 0; sent < SMALL_STREAM_FLOOR; sent += 16_384) server.send(data(1, Buffer.alloc(16_384)));
    assert.deepEqual(await server.answer(), []);
    server.send(data(1, "x"));
    assert.deepEqual(await server.answer(), ["RST 1 3"]);
  });
});

describe("answers", () => {
  it("before the request is complete: END_STREAM, then RST(NO_ERROR); the rest is dropped and the next request is served", async () => {
    const server = requestServer();
    server.send(headers(1, POST), data(1, "part"));
    const { exchange } = firstSeen(server);
    exchange.sendHead(ok({ status: 413, body: { kind: "length", bytes: 2 } }));
    exchange.write(Buffer.from("no"));
    exchange.end([]);
    assert.deepEqual(await server.answer(), ["HEADERS 1", "DATA 1 2", "END 1", "RST 1 0"]);
    server.send(data(1, "GET /smuggled HTTP/1.1\r\n\r\n", 1), headers(3, GET, END));
    assert.deepEqual(
      [firstSeen(server).body, firstSeen(server).end, server.seen.length],
      ["part", "open", 2],
    );
    assert.deepEqual(await server.answer(), []);
  });

  it("of our own have a length, and none of a body for HEAD", async () => {
    const server = requestServer();
    server.send(headers(1, GET, END), headers(3, requestBlock("HEAD"), END));
    for (const { exchange } of server.seen) {
      const fields = [{ name: "content-type", value: "text/plain" }];
      exchange.reply({ status: 403, fields, body: "RBAC: access denied", close: false });
    }
    const frames = await server.frames();
    const list = ":status=403 content-type=text/plain content-length=19";
    assert.deepEqual(headerLists(frames), [list, list]);
    assert.deepEqual(
      frames.flatMap(({ type, streamId, payload }) =>
        type === 0 && payload.length > 0 ? [`${streamId} ${payload.toString()}`] : [],
      ),
      ["1 RBAC: access denied"],
    );
  });

  it("that wait for the caller's window end only behind all bytes, trailers and RST(NO_ERROR) too", async () => {
    const server = rawRequestServer();
    server.send(PREFACE, settings([4, 3]), SETTINGS_ACK, headers(1, POST));
    await server.frames();
    const { exchange } = firstSeen(server);
    exchange.sendHead(ok());
    assert.equal(exchange.write(Buffer.from("abcdef")), "pause");
    exchange.end([{ name: "x-end", value: "e" }]);
    assert.deepEqual(await server.answer(), ["HEADERS 1", "DATA 1 3"]);
    server.send(windowUpdate(1, 100));
    assert.deepEqual(await server.answer(), ["DATA 1 3", "HEADERS 1", "RST 1 0"]);
  });

  it("pause their writer while the caller does not read, and go on when it does", async () => {
    const server = requestServer();
    server.send(headers(1, GET, END));
    const request = firstSeen(server);
    request.exchange.sendHead(ok());
    assert.equal(request.exchange.write(Buffer.alloc(65_536)), "pause");
    await server.frames();
    server.send(windowUpdate(0, 1 << 20), windowUpdate(1, 1 << 20));
    await settle();
    assert.equal(request.writableCount, 1);
  });

  it("that are broken off never look complete", async () => {
    const server = requestServer();
    server.send(headers(1, GET, END));
    const { exchange } = firstSeen(server);
    exchange.sendHead(ok());
    exchange.write(Buffer.from("half"));
    exchange.abort("the upstream is gone");
    assert.deepEqual(await server.answer(), ["HEADERS 1", "DATA 1 4", "RST 1 2"]);
    exchange.end([]);
    exchange.reply({ status: 500, fields: [], body: "", close: false });
    assert.deepEqual(await server.answer(), []);
  });

  it("cannot open a tunnel", async () => {
    const server = requestServer();
    server.send(headers(1, GET, END));
    firstSeen(server).exchange.sendHead(ok({ status: 101, body: { kind: "tunnel" } }));
    assert.deepEqual(await server.answer(), ["RST 1 2"]);
  });

  it("have a body that was announced: content-length is sent as it is", async () => {
    const server = requestServer({ onComplete: answerOk });
    server.send(headers(1, GET, END));
    assert.deepEqual(headerLists(await server.frames()), [":status=200 content-length=2"]);
  });
});
