import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ResponseHead } from "../http/message.ts";
import { data, goaway, headers, PREFACE, rst, settings } from "../testing/frames.ts";
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

const POST = requestBlock("POST");
const GET = requestBlock("GET");
const END = 5;

const ok = (extra: Partial<ResponseHead> = {}): ResponseHead => ({
  status: 200,
  fields: [],
  body: { kind: "marked" },
  ...extra,
});

describe("callers that go away", () => {
  it("by RST_STREAM: the request is aborted, before it is started too", async () => {
    const server = requestServer({ onRequest: () => undefined });
    server.send(headers(1, POST), headers(3, POST));
    const [one, two] = server.seen;
    one?.exchange.start(one);
    server.send(rst(1), rst(3));
    assert.deepEqual([one?.end, one?.abortReason], ["aborted", "the caller reset the request (CANCEL)"]);
    two?.exchange.start(two);
    await settle();
    assert.equal(two?.end, "aborted");
    assert.equal(two?.exchange.write(Buffer.from("x")), "closed");
  });

  it("with the whole connection: every request is aborted", async () => {
    const server = requestServer();
    server.send(headers(1, POST), headers(3, POST));
    server.handle.drop();
    await settle();
    assert.deepEqual(
      server.seen.map(({ end }) => end),
      ["aborted", "aborted"],
    );
    assert.ok(server.closed()?.error instanceof Error);
  });

  it("after a complete request whose answer is under way: nothing is reported but the connection's end", async () => {
    const server = requestServer({ onComplete: answerOk });
    server.send(headers(1, GET, END));
    server.handle.end();
    server.handle.finish();
    await settle();
    assert.deepEqual([firstSeen(server).end, server.closed()], ["complete", { error: undefined }]);
  });
});

describe("the end of a connection", () => {
  it("by drain: two GOAWAYs, requests in between are served, and it closes with the last answer", async () => {
    const server = requestServer();
    server.send(headers(1, GET, END));
    server.connection.drain();
    assert.deepEqual(await server.answer(), ["GOAWAY 0"]);
    server.send(headers(3, GET, END));
    assert.equal(server.seen.length, 2);
    await server.clock.advance(1_000);
    assert.deepEqual(await server.answer(), ["GOAWAY 0"]);
    for (const request of server.seen) answerOk(request);
    assert.equal(server.handle.isShutdown, true);
  });

  it("by the caller's own GOAWAY: requests behind it are served, and the last answer ends it", async () => {
    const server = requestServer();
    server.send(goaway(0));
    server.send(headers(1, GET, END), headers(3, GET, END));
    assert.equal(server.seen.length, 2);
    await server.clock.advance(1_000);
    for (const request of server.seen) answerOk(request);
    assert.equal(server.handle.isShutdown, true);
    assert.equal((await server.answer()).filter((each) => each.startsWith("END")).length, 2);
  });

  it("by an answer that asks for it", async () => {
    const server = requestServer();
    server.send(headers(1, GET, END));
    firstSeen(server).exchange.reply({ status: 503, fields: [], body: "", close: true });
    assert.deepEqual(await server.answer(), ["HEADERS 1", "GOAWAY 0"]);
  });

  it("by idleness, but not while a request is open", async () => {
    const server = requestServer({ idleMs: 5_000 });
    await server.clock.advance(4_000);
    server.send(headers(1, GET, END));
    await server.clock.advance(20_000);
    assert.deepEqual(await server.answer(), []);
    answerOk(firstSeen(server));
    await server.answer();
    await server.clock.advance(4_000);
    assert.deepEqual(await server.answer(), []);
    await server.clock.advance(1_500);
    assert.deepEqual(await server.answer(), ["GOAWAY 0"]);
  });

  it("by silence in the middle of a header block", async () => {
    const server = requestServer();
    server.send(headers(1, GET, 1));
    await server.clock.advance(10_000);
    assert.deepEqual(await server.answer(), ["GOAWAY 11"]);
    assert.deepEqual([server.handle.isShutdown, server.seen.length], [true, 0]);
  });

  it("by destroy: every request is aborted", () => {
    const server = requestServer();
    server.send(headers(1, POST));
    server.connection.destroy("the pod is gone");
    assert.match(String(firstSeen(server).abortReason), /the pod is gone/);
    assert.equal(server.handle.wasReset, true);
  });

  it("by a bug in the code that is called, and only by it", async () => {
    const server = requestServer({
      onRequest: ({ exchange }) =>
        exchange.start({
          onBody: () => assert.fail("a bug"),
          onEnd: () => undefined,
          onWritable: () => undefined,
          onAbort: () => undefined,
        }),
    });
    server.send(headers(1, POST), data(1, "x"));
    await settle();
    assert.match(String(server.closed()?.error), /a bug/);
  });
});

describe("callers that rest", () => {
  /** And what the first look takes. */
  const FIVE_MINUTES = 400_000;

  it("in the middle of a body get 408", async () => {
    const server = requestServer();
    server.send(headers(1, POST), data(1, "x"));
    await server.clock.advance(FIVE_MINUTES / 2);
    server.send(data(1, "y"));
    await server.clock.advance(FIVE_MINUTES / 2);
    assert.equal(firstSeen(server).end, "open");
    await server.clock.advance(FIVE_MINUTES);
    const frames = await server.frames();
    assert.deepEqual(headerLists(frames), [":status=408 content-type=text/plain content-length=38"]);
    assert.deepEqual(
      [firstSeen(server).end, server.refused],
      ["aborted", ["408 the caller stopped sending, or reading"]],
    );
  });

  it("and do not read are reset", async () => {
    const server = rawRequestServer();
    server.send(PREFACE, settings([4, 3]), SETTINGS_ACK, headers(1, GET, END));
    firstSeen(server).exchange.sendHead(ok());
    firstSeen(server).exchange.write(Buffer.from("abcdef"));
    await server.frames();
    await server.clock.advance(FIVE_MINUTES);
    assert.deepEqual(await server.answer(), ["RST 1 8"]);
    assert.equal(firstSeen(server).end, "aborted");
  });

  it("may, while we make them wait, while they are being answered, and in gRPC", async () => {
    const server = requestServer();
    const grpc = requestBlock("POST", [["content-type", "application/grpc+proto"]]);
    server.send(headers(1, POST), headers(3, POST), headers(5, grpc));
    server.seen[0]?.exchange.pause();
    server.seen[1]?.exchange.sendHead(ok());
    await server.clock.advance(3 * FIVE_MINUTES);
    assert.deepEqual(
      server.seen.map(({ end }) => end),
      ["open", "open", "open"],
    );
  });
});
