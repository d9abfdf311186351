/** A caller's connection beyond the vectors: its life, its timers, its bounds. The test is the application. */
import assert from "node:assert/strict";
import test from "node:test";
import type { ServerExchange, ServerExchangeEvents } from "../http/exchange.ts";
import type { Refusal } from "../http/message.ts";
import { KeptLimit } from "../handle/kept-bytes.ts";
import { FakeHandle } from "../testing/fake-handle.ts";
import { readMessages, type SeenMessage, statusOf, valueOf } from "../testing/http1-text.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { Http1ServerConnection } from "./server-connection.ts";
import type { Http1ServerOptions } from "./server-options.ts";

class Application implements ServerExchangeEvents {
  readonly exchanges: ServerExchange[] = [];
  readonly refusals: Refusal[] = [];
  readonly events: string[] = [];
  body = "";
  closed = false;
  onStart: "at-once" | "later" = "at-once";

  onRequest(exchange: ServerExchange): void {
    this.exchanges.push(exchange);
    this.events.push(`request ${exchange.head.target}`);
    if (this.onStart === "at-once") exchange.start(this);
  }

  onRefused(refusal: Refusal): void {
    this.refusals.push(refusal);
  }

  onClose(): void {
    this.closed = true;
  }

  onBody(bytes: Uint8Array): void {
    this.body += Buffer.from(bytes).toString("latin1");
  }

  onEnd(): void {
    this.events.push("end");
  }

  onWritable(): void {
    this.events.push("writable");
  }

  onAbort(reason: string, answered?: Refusal): void {
    this.events.push(`abort${answered === undefined ? "" : ` ${answered.status}`}: ${reason}`);
  }

  get last(): ServerExchange {
    return this.exchanges.at(-1) as ServerExchange;
  }

  answer(body: string = "ok"): void {
    this.last.sendHead({ status: 200, fields: [], body: { kind: "length", bytes: body.length } });
    this.last.write(Buffer.from(body));
    this.last.end([]);
  }
}

function open(options: Partial<Http1ServerOptions> = {}, copiesOnWrite = true) {
  const caller = new FakeHandle(copiesOnWrite);
  const application = new Application();
  const clock = createManualClock();
  const connection = new Http1ServerConnection(caller, { events: application, clock, ...options });
  let text = "";
  const seen = async (): Promise<readonly SeenMessage[]> => {
    for (let i = 0; i < 4; i++) await Promise.resolve();
    text += caller.take().toString("latin1");
    return readMessages(text, { ended: caller.isShutdown || caller.closed }).messages;
  };
  const send = (bytes: string): void => caller.feed(Buffer.from(bytes, "latin1"), 65_536);
  return { caller, application, clock, connection, seen, send, text: () => text };
}

const GET = "GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const POST = "POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\n";
const OK = { status: 200, fields: [], body: { kind: "marked" } } as const;

test("a trailer that policies read as a field, or one that looks like it, is refused before the body is complete", async () => {
  for (const trailer of ["x-user: admin", "x_user: admin"]) {
    const { application, send, seen } = open({ fieldsRead: () => new Set(["x-user"]) });
    send("POST /a HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    send(`0\r\n${trailer}\r\n\r\n`);
    assert.deepEqual((await seen()).map(statusOf), [400]);
    assert.deepEqual(application.events, [
      "request /a",
      "abort 400: trailer that would change what was decided",
    ]);
  }
});

test("what is kept of callers that send ahead is bounded for all of them together", () => {
  const all = new KeptLimit(1_000_000);
  const keptLimit = new KeptLimit(64 * 1024, all);
  const ahead = GET + "x".repeat(50_000);
  const first = open({ keptLimit });
  first.send(ahead);
  assert.equal(first.caller.closed, false);
  const second = open({ keptLimit });
  second.send(ahead);
  assert.equal(all.usedBytes, keptLimit.usedBytes);
  const third = open({ keptLimit });
  third.send(ahead);
  assert.ok(third.caller.wasReset);
  assert.equal(open({ keptLimit: new KeptLimit(64 * 1024, all) }).caller.closed, false);
  first.connection.destroy("the test is over");
  second.connection.destroy("the test is over");
  assert.deepEqual([all.usedBytes, keptLimit.usedBytes], [0, 0]);
});

test("heads that do not end are bounded together: another is told so, and whatever was kept is given back", async () => {
  const keptLimit = new KeptLimit(1024 * 1024);
  const begun = "GET / HTTP/1.1\r\nHost: shop.test\r\nX: ";
  const many = Array.from({ length: 20 }, () => open({ keptLimit }));
  for (const { send } of many) send(begun + "a".repeat(59_000));
  const { usedBytes } = keptLimit;
  assert.ok(usedBytes > 512 * 1024 && usedBytes <= 1_100 * 1024, `${usedBytes} bytes are kept`);
  const late = open({ keptLimit });
  late.send(begun);
  assert.deepEqual((await late.seen()).map(statusOf), [503]);
  const [refused] = late.application.refusals;
  assert.equal(refused?.reason, "too much is kept of what is not complete, or not read");
  // One that is there in one piece needs no room.
  const whole = open({ keptLimit });
  whole.send(GET);
  assert.equal(whole.application.exchanges.length, 1);
  const [gone, timed, finished, ...rest] = many;
  gone?.caller.drop();
  await timed?.clock.advance(10_000);
  finished?.send("\r\n\r\n");
  for (const { connection } of rest) connection.destroy("the test is over");
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(keptLimit.usedBytes, 0);
});

test("a connection serves many requests, none before the answer to the one before", async () => {
  const { application, seen, send } = open();
  send(`${GET}${GET.replace("/a", "/b")}`);
  assert.deepEqual(application.events, ["request /a", "end"]);
  application.answer();
  assert.deepEqual(application.events, ["request /a", "end", "request /b", "end"]);
  application.answer("second");
  send(GET.replace("/a", "/c"));
  application.answer();
  assert.deepEqual(
    (await seen()).map((each) => each.body),
    ["ok", "second", "ok"],
  );
});

test("bytes that came before the hand-over are the first", async () => {
  const { application, send, seen } = open({ received: Buffer.from(GET.slice(0, 9)) });
  send(GET.slice(9));
  await seen();
  assert.deepEqual(application.events, ["request /a", "end"]);
});

test("a head and its small body leave in one write", async () => {
  const { application, caller, send, seen } = open();
  let writes = 0;
  const write = caller.write.bind(caller);
  caller.write = (bytes) => {
    writes++;
    return write(bytes);
  };
  send(GET);
  application.answer("x".repeat(1024));
  await seen();
  assert.equal(writes, 1);
});

test("the body is held back until the application starts", async () => {
  const { application, send } = open();
  application.onStart = "later";
  send(`${POST}hello`);
  assert.equal(application.body, "");
  application.last.start(application);
  assert.equal(application.body, "hello");
  assert.deepEqual(application.events, ["request /a", "end"]);
});

test("a paused body is kept, bounded, and the handle is paused; nothing is lost", async () => {
  const { application, caller, send } = open();
  const size = 300_000;
  send(`POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`);
  application.last.pause();
  let sent = 0;
  while (!caller.isPaused) {
    send("y".repeat(16_384));
    sent += 16_384;
    assert.ok(sent <= 65_536 + 16_384, "bounded");
  }
  assert.equal(application.body, "");
  application.last.resume();
  assert.equal(application.body.length, sent);
  assert.equal(caller.isPaused, false);
  send("y".repeat(size - sent));
  assert.equal(application.body.length, size);
  assert.deepEqual(application.events, ["request /a", "end"]);
});

test("pausing inside onBody keeps the rest of that read", async () => {
  const { application, send } = open();
  application.onBody = function onBody(this: Application, bytes: Uint8Array) {
    this.body += Buffer.from(bytes).toString("latin1");
    this.last.pause();
  };
  send("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
  assert.equal(application.body, "ab");
  application.last.resume();
  assert.equal(application.body, "abcd");
  application.last.resume();
  assert.deepEqual(application.events, ["request /a", "end"]);
});

for (const copiesOnWrite of [true, false]) {
  test(`a caller that does not read stops the answer at a bound (copies on write: ${copiesOnWrite})`, async () => {
    const { application, caller, send, seen } = open({}, copiesOnWrite);
    send(GET);
    caller.stalled = true;
    application.last.sendHead(OK);
    const piece = Buffer.alloc(10_000, "z");
    let pieces = 0;
    while (application.last.write(piece) === "more") pieces++;
    assert.ok(pieces * piece.length <= 65_536 + piece.length, `${pieces} pieces`);
    assert.ok(caller.queuedBytes <= 65_536 + 2 * piece.length + 1_000, `${caller.queuedBytes} queued`);
    piece.fill("!");
    caller.stalled = false;
    caller.drain();
    assert.deepEqual(application.events.at(-1), "writable");
    application.last.end([]);
    const [answer] = await seen();
    assert.equal(answer?.body, "z".repeat((pieces + 1) * 10_000));
  });
}

test("chunks down, trailers behind them", async () => {
  const { application, send, seen, text } = open();
  send(GET);
  application.last.sendHead(OK);
  application.last.write(Buffer.from("hello"));
  application.last.write(new Uint8Array(0));
  application.last.end([{ name: "x-sum", value: "1" }]);
  const [answer] = await seen();
  assert.equal(answer?.body, "hello");
  assert.deepEqual(answer?.trailers, ["x-sum: 1"]);
  assert.match(text(), /\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n$/);
});

test("HTTP/1.0: no chunks, no interim answers, no trailers; the end of the connection ends the body", async () => {
  const { application, caller, send, seen, text } = open();
  send("GET /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
  application.last.sendInterim({ status: 103, fields: [], body: { kind: "none" } });
  application.last.sendHead(OK);
  application.last.write(Buffer.from("hello"));
  application.last.end([{ name: "x-sum", value: "1" }]);
  const [answer] = await seen();
  assert.equal(answer?.body, "hello");
  assert.equal(answer === undefined ? "" : valueOf(answer, "connection"), "close");
  assert.doesNotMatch(text(), /103|chunked|x-sum/);
  assert.ok(caller.isShutdown && !caller.wasReset);
});

test("HEAD and 304 keep the length they were given, and send no body", async () => {
  const { application, send, text, seen } = open();
  send(GET.replace("GET", "HEAD"));
  const fields = [{ name: "content-length", value: "77" }];
  application.last.sendHead({ status: 200, fields, body: { kind: "none" } });
  send(GET);
  application.last.sendHead({ status: 304, fields, body: { kind: "none" } });
  await seen();
  assert.equal(text().match(/content-length: 77/g)?.length, 2);
  assert.equal(text().match(/content-length/g)?.length, 2);
});

test("an answer longer or shorter than announced never looks complete", async () => {
  for (const body of ["too long", "x"]) {
    const { application, caller, send, seen } = open();
    send(GET);
    application.answer.call(application, "");
    send(GET);
    application.last.sendHead({ status: 200, fields: [], body: { kind: "length", bytes: 3 } });
    application.last.write(Buffer.from(body));
    application.last.end([]);
    assert.equal((await seen()).length, 1);
    assert.ok(caller.wasReset);
  }
});

test("a refusal says why in constant words, and the connection lingers: later bytes are thrown away", async () => {
  const { application, caller, clock, send, seen } = open();
  send("GET /secret HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
  const [answer] = await seen();
  assert.equal(answer === undefined ? 0 : statusOf(answer), 400);
  assert.equal(answer?.body, "host twice");
  assert.deepEqual(application.refusals, [{ status: 400, reason: "host twice" }]);
  assert.ok(caller.isShutdown && !caller.closed);
  send(GET);
  assert.equal(application.exchanges.length, 0);
  await clock.advance(2_001);
  assert.ok(caller.wasReset, "a caller that does not close is cut");
  assert.equal(application.closed, true);
});

test("a caller that keeps sending after the refusal is cut at a bound", async () => {
  const { caller, send } = open();
  send("bad\r\n\r\n");
  for (let i = 0; i < 70 && !caller.closed; i++) send("x".repeat(16_384));
  assert.ok(caller.wasReset);
});

test("timers: a head 10 s, between requests 60 s", async () => {
  const slow = open();
  await slow.clock.advance(55_000);
  slow.send(GET.slice(0, 10));
  await slow.clock.advance(9_000);
  slow.send(GET.slice(10, 20));
  await slow.clock.advance(1_500);
  assert.deepEqual((await slow.seen()).map(statusOf), [408]);
  const idle = open();
  idle.send(GET);
  idle.application.answer();
  await idle.clock.advance(59_000);
  assert.ok(!idle.caller.isShutdown);
  await idle.clock.advance(2_000);
  assert.ok(idle.caller.isShutdown);
  assert.deepEqual((await idle.seen()).map(statusOf), [200]);
});

test("an application may take its time; a body may not stand still", async () => {
  const { application, caller, clock, send, seen } = open();
  send(GET);
  await clock.advance(3_600_000);
  assert.ok(!caller.closed);
  application.answer();
  send(`${POST}he`);
  await clock.advance(290_000);
  send("l");
  await clock.advance(290_000);
  assert.equal(application.events.at(-1), "request /a");
  await clock.advance(400_000);
  assert.deepEqual(application.events.at(-1), "abort 408: body without progress");
  assert.deepEqual((await seen()).map(statusOf), [200, 408]);
});

test("a caller that never reads its answer is cut", async () => {
  const { application, caller, clock, send } = open();
  send(GET);
  caller.stalled = true;
  application.last.sendHead(OK);
  application.last.write(Buffer.alloc(100_000));
  await clock.advance(700_000);
  assert.ok(caller.wasReset);
  assert.match(application.events.at(-1) ?? "", /^abort: /);
});

test("drain: an idle connection ends, a busy one says so in its answer", async () => {
  const idle = open();
  idle.connection.drain();
  assert.ok(idle.caller.isShutdown);
  const busy = open();
  busy.send(GET);
  busy.connection.drain();
  assert.ok(!busy.caller.isShutdown);
  busy.application.answer();
  const [answer] = await busy.seen();
  assert.equal(answer === undefined ? "" : valueOf(answer, "connection"), "close");
  assert.ok(busy.caller.isShutdown);
});

test("destroy ends everything, and the application hears of it", async () => {
  const { application, caller, connection, send } = open();
  send(POST);
  connection.destroy("policy");
  assert.ok(caller.wasReset);
  assert.deepEqual(application.events, ["request /a", "abort: policy"]);
  assert.equal(application.last.write(Buffer.from("x")), "closed");
});

test("a half-closed caller still gets its answer", async () => {
  const { application, caller, send, seen } = open();
  send(GET);
  caller.end();
  application.answer();
  const [answer] = await seen();
  assert.deepEqual(answer === undefined ? [] : [statusOf(answer), valueOf(answer, "connection")], [
    200,
    "close",
  ]);
  assert.ok(caller.isShutdown && !caller.wasReset);
});

test("a caller that breaks away is reported once", async () => {
  const { application, caller, send } = open();
  send(GET);
  caller.drop();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(application.events, ["request /a", "end", "abort: the caller is gone"]);
  application.last.abort("too late");
  assert.equal(application.closed, true);
});

test("a reply throws a short body away and keeps the connection; a long, chunked or withheld one ends it", async () => {
  const denied = { status: 403, fields: [], body: "RBAC: access denied", close: false } as const;
  const short = open();
  short.application.onStart = "later";
  short.send(`${POST}he`);
  short.application.last.reply(denied);
  short.send(`llo${GET}`);
  assert.equal(short.application.exchanges.length, 2);
  assert.equal(short.application.last.head.method, "GET");
  const framings = [
    "Content-Length: 65537",
    "Transfer-Encoding: chunked",
    "Content-Length: 5\r\nExpect: 100-continue",
  ];
  for (const framing of framings) {
    const long = open();
    long.application.onStart = "later";
    long.send(`POST /a HTTP/1.1\r\nHost: x\r\n${framing}\r\n\r\n`);
    long.application.last.reply(denied);
    const [answer] = await long.seen();
    assert.equal(answer === undefined ? "" : valueOf(answer, "connection"), "close", framing);
    long.send(GET.repeat(3));
    assert.equal(long.application.exchanges.length, 1, framing);
  }
});

test("websocket: bytes behind the request wait for the 101, then flow both ways until both ended", async () => {
  const { application, caller, send, seen, text } = open();
  send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
  assert.deepEqual(application.events, ["request /a"]);
  assert.equal(application.body, "");
  application.last.sendHead({ status: 101, fields: [], body: { kind: "tunnel" } });
  assert.equal(application.body, "early");
  application.last.write(Buffer.from("down"));
  send("GET / HTTP/1.1\r\n\r\n");
  assert.equal(application.body, "earlyGET / HTTP/1.1\r\n\r\n");
  caller.end();
  assert.deepEqual(application.events, ["request /a", "end"]);
  application.last.write(Buffer.from("more"));
  application.last.end([]);
  await seen();
  assert.match(text(), /^HTTP\/1\.1 101 .*\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\ndownmore$/);
  assert.ok(caller.isShutdown);
  caller.finish();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(application.events, ["request /a", "end"]);
});

test("websocket refused: what follows is a request", async () => {
  const { application, send } = open();
  send(
    `GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${GET.replace("/a", "/b")}`,
  );
  application.last.sendHead({ status: 200, fields: [], body: { kind: "length", bytes: 0 } });
  application.last.end([]);
  assert.deepEqual(application.events, ["request /a", "end", "request /b", "end"]);
});

test("a tunnel that is given up is cut", async () => {
  const { application, caller, send } = open();
  send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  application.last.sendHead({ status: 101, fields: [], body: { kind: "tunnel" } });
  application.last.end([]);
  application.last.abort("policy");
  assert.ok(caller.wasReset);
});

test("an application that throws ends its own connection, also from a timer and from early bytes", async () => {
  const early = open({ received: Buffer.from(GET) });
  early.application.onRequest = () => {
    throw new Error("bug");
  };
  await early.seen();
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(early.caller.wasReset && early.application.closed);
  const timed = open();
  timed.application.onRefused = () => {
    throw new Error("bug");
  };
  timed.send("GET");
  await timed.clock.advance(10_001);
  assert.ok(timed.caller.wasReset && timed.application.closed);
});

test("an application that answers from within the last bytes of a body does not hold up the next request", async () => {
  const { application, send, seen } = open();
  application.onBody = function onBody(this: Application) {
    this.last.reply({ status: 403, fields: [], body: "", close: false });
  };
  send(`${POST}hello${GET.replace("/a", "/b")}`);
  assert.deepEqual(application.events, ["request /a", "request /b", "end"]);
  application.answer();
  assert.deepEqual((await seen()).map(statusOf), [403, 200]);
});

test("a tunnel's end comes behind the bytes that wait for their reader", () => {
  const { application, caller, send } = open();
  send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  application.last.sendHead({ status: 101, fields: [], body: { kind: "tunnel" } });
  application.last.pause();
  send("last words");
  caller.end();
  assert.deepEqual([application.body, application.events], ["", ["request /a"]]);
  application.last.resume();
  assert.deepEqual([application.body, application.events], ["last words", ["request /a", "end"]]);
});

test("a request that waited behind another has its own time", async () => {
  const { application, clock, send } = open();
  send(`${GET}${POST}he`);
  await clock.advance(60_000 + 299_000);
  application.answer();
  await clock.advance(290_000);
  assert.deepEqual(application.events, ["request /a", "end", "request /a"]);
  await clock.advance(400_000);
  assert.equal(application.events.at(-1), "abort 408: body without progress");
});

test("a reply of 204 has neither body nor length", async () => {
  const { application, send, seen, text } = open();
  send(GET);
  application.last.reply({ status: 204, fields: [], body: "", close: false });
  await seen();
  assert.equal(text(), "HTTP/1.1 204 No Content\r\n\r\n");
});
