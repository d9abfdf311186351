/** An upstream's connection beyond the vectors: when it is used again, what a failure says, its bounds. */
import assert from "node:assert/strict";
import test from "node:test";
import type { ClientExchangeEvents, ClientFailure } from "../http/exchange.ts";
import type { HttpField, RequestHead, ResponseHead } from "../http/message.ts";
import { FakeHandle } from "../testing/fake-handle.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { Http1ClientConnection } from "./client-connection.ts";

class Answer implements ClientExchangeEvents {
  readonly heads: number[] = [];
  readonly interims: number[] = [];
  body = "";
  ended = 0;
  trailers: readonly HttpField[] = [];
  failure: ClientFailure | undefined;
  writable = 0;

  onInterim(head: ResponseHead): void {
    this.interims.push(head.status);
  }

  onHead(head: ResponseHead): void {
    this.heads.push(head.status);
  }

  onBody(bytes: Uint8Array): void {
    this.body += Buffer.from(bytes).toString("latin1");
  }

  onEnd(trailers: readonly HttpField[]): void {
    this.ended++;
    this.trailers = trailers;
  }

  onWritable(): void {
    this.writable++;
  }

  onFailure(failure: ClientFailure): void {
    assert.equal(this.failure, undefined, "one failure");
    this.failure = failure;
  }
}

const GET: RequestHead = {
  version: "1.1",
  method: "GET",
  target: "/a",
  authority: "shop.test",
  scheme: "http",
  fields: [],
  body: { kind: "none" },
  upgrade: undefined,
  expectsContinue: false,
};
const POST: RequestHead = { ...GET, method: "POST", body: { kind: "length", bytes: 5 } };
const UPGRADE: RequestHead = { ...GET, upgrade: "websocket" };
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

function open(copiesOnWrite = true) {
  const handle = new FakeHandle(copiesOnWrite);
  const clock = createManualClock();
  const events = { idle: 0, closed: 0 };
  const connection = new Http1ClientConnection(
    handle,
    { onIdle: () => void events.idle++, onClose: () => void events.closed++ },
    clock,
  );
  const feed = (text: string): void => handle.feed(Buffer.from(text, "latin1"), 65_536);
  return { handle, clock, connection, events, feed };
}

async function turn(): Promise<void> {
  for (let i = 0; i < 4; i++) await Promise.resolve();
}

async function immediate(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("one request at a time, again and again", async () => {
  const { handle, connection, events, feed } = open();
  for (let i = 1; i <= 3; i++) {
    assert.equal(connection.capacity, 1);
    const answer = new Answer();
    connection.send(GET, answer).end([]);
    assert.equal(connection.capacity, 0);
    await turn();
    assert.equal(handle.take().toString(), "GET /a HTTP/1.1\r\nhost: shop.test\r\n\r\n");
    feed(OK);
    assert.deepEqual([answer.heads, answer.body, answer.ended], [[200], "ok", 1]);
    assert.equal(events.idle, i);
  }
});

test("it takes nothing in the moment of an answer's end: bytes may follow", async () => {
  const { connection, feed, events } = open();
  const capacities: number[] = [];
  const answer = new Answer();
  answer.onEnd = () => void capacities.push(connection.capacity);
  connection.send(GET, answer).end([]);
  await turn();
  feed(`${OK}HTTP/1.1 200 OK\r\n`);
  assert.deepEqual(capacities, [0]);
  assert.equal(events.idle, 0);
  assert.equal(connection.usable, false);
});

const notReused: readonly (readonly [name: string, answer: string])[] = [
  ["connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"],
  ["HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"],
];

for (const [name, text] of notReused) {
  test(`an answer that ends the connection: ${name}; an upstream that does not close is cut`, async () => {
    const { handle, clock, connection, events, feed } = open();
    const answer = new Answer();
    connection.send(GET, answer).end([]);
    await turn();
    feed(text);
    assert.equal(answer.ended, 1);
    assert.deepEqual([connection.usable, connection.capacity, events.idle], [false, 0, 0]);
    assert.ok(handle.isShutdown && !handle.wasReset);
    await clock.advance(2_001);
    assert.ok(handle.wasReset);
  });
}

test("bytes behind an answer that ended the connection cut it at once", async () => {
  const { handle, connection, feed } = open();
  const answer = new Answer();
  connection.send(GET, answer).end([]);
  await turn();
  feed("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
  feed("x");
  assert.deepEqual([answer.body, answer.ended, handle.wasReset], ["ok", 1, true]);
});

test("an idle connection ends with a byte that nobody asked for, and with the upstream's FIN", async () => {
  const chatty = open();
  chatty.feed("x");
  assert.ok(chatty.handle.wasReset && !chatty.connection.usable);
  const ended = open();
  ended.handle.end();
  assert.ok(ended.handle.isShutdown && !ended.connection.usable);
  const late = new Answer();
  const exchange = ended.connection.send(GET, late);
  assert.equal(exchange.write(Buffer.from("x")), "closed");
  await turn();
  assert.equal(late.failure?.kind, "unsent");
});

test("an answer before the request was complete: passed on, then the connection is cut", async () => {
  const { handle, connection, feed } = open();
  const answer = new Answer();
  const exchange = connection.send(POST, answer);
  exchange.write(Buffer.from("he"));
  await turn();
  feed(OK);
  assert.deepEqual([answer.heads, answer.ended], [[200], 1]);
  assert.ok(handle.wasReset);
  assert.equal(exchange.write(Buffer.from("llo")), "closed");
  exchange.end([]);
  exchange.abort("no effect");
  await immediate();
  assert.equal(answer.failure, undefined);
});

test("an answer while the end of the request still waits to be sent: not used again", async () => {
  const { handle, connection, events, feed } = open();
  const answer = new Answer();
  const exchange = connection.send(POST, answer);
  await turn();
  handle.stalled = true;
  exchange.write(Buffer.from("hello"));
  exchange.end([]);
  await turn();
  feed(OK);
  assert.deepEqual([answer.ended, events.idle, connection.usable], [1, 0, false]);
  assert.ok(handle.wasReset);
});

test("FIN while the last bytes of an answer wait for their reader: the answer is whole, the connection goes", async () => {
  const { handle, connection, events, feed } = open();
  const answer = new Answer();
  const exchange = connection.send(GET, answer);
  await turn();
  feed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
  exchange.pause();
  feed("ok");
  handle.end();
  assert.equal(answer.ended, 0);
  exchange.resume();
  assert.deepEqual([answer.body, answer.ended, events.idle, connection.usable], ["ok", 1, 0, false]);
});

test("what a failure says: unsent, lost before or after the head, bad", async () => {
  const unsent = open();
  const first = new Answer();
  unsent.connection.send(GET, first);
  unsent.handle.drop();
  await immediate();
  assert.equal(first.failure?.kind, "unsent");

  const lost = open();
  const second = new Answer();
  lost.connection.send(GET, second);
  await turn();
  lost.handle.drop();
  await immediate();
  assert.deepEqual(second.failure, { kind: "lost", reason: "ECONNRESET", afterHead: false });

  const cut = open();
  const third = new Answer();
  cut.connection.send(GET, third);
  await turn();
  cut.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok");
  cut.handle.end();
  assert.deepEqual([third.failure?.kind, third.ended], ["lost", 0]);

  const bad = open();
  const fourth = new Answer();
  bad.connection.send(GET, fourth);
  bad.feed("HTTP/1.1 200 OK\r\nX: a\n\r\n");
  assert.deepEqual(fourth.failure, {
    kind: "bad-answer",
    reason: "line feed without carriage return",
    afterHead: false,
  });
  assert.ok(bad.handle.wasReset);
});

for (const [name, text] of [
  ["another protocol's greeting", "SSH-2.0-OpenSSH_9.9\r\n"],
  ["a body without a head", "<html>hello</html>"],
  ["another version", "HTTP/2 200\r\n"],
  ["what begins alike", "HTTPS"],
] as const) {
  test(`what is no answer is told at once, though its head never ends: ${name}`, () => {
    const { connection, feed, handle } = open();
    const answer = new Answer();
    connection.send(GET, answer);
    for (const byte of text) feed(byte);
    assert.deepEqual(answer.failure, {
      kind: "bad-answer",
      reason: "not a status line of HTTP/1",
      afterHead: false,
    });
    assert.ok(handle.wasReset);
  });
}

test("interim answers pass, nine are too many", () => {
  const { connection, feed } = open();
  const answer = new Answer();
  connection.send(GET, answer);
  const hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
  feed(hint.repeat(8));
  assert.deepEqual(answer.interims, Array(8).fill(103));
  feed(hint);
  assert.equal(answer.failure?.kind, "bad-answer");
});

test("a request given up, too long or too short never looks complete", async () => {
  const ends: readonly ((exchange: ReturnType<Http1ClientConnection["send"]>) => void)[] = [
    (exchange) => exchange.abort("the caller is gone"),
    (exchange) => assert.equal(exchange.write(Buffer.from("llo, too long")), "closed"),
    (exchange) => exchange.end([]),
  ];
  for (const end of ends) {
    const { handle, connection } = open();
    const exchange = connection.send(POST, new Answer());
    exchange.write(Buffer.from("he"));
    await turn();
    end(exchange);
    assert.ok(handle.wasReset);
    assert.match(handle.take().toString(), /\r\n\r\nhe$/);
  }
});

test("given up in the turn in which it was written whole: nothing leaves", async () => {
  const { handle, connection } = open();
  connection.send(GET, new Answer()).abort("denied after all");
  await turn();
  assert.equal(handle.take().length, 0);
});

for (const copiesOnWrite of [true, false]) {
  test(`an upstream that does not read stops the request at a bound (copies on write: ${copiesOnWrite})`, async () => {
    const { handle, connection } = open(copiesOnWrite);
    const answer = new Answer();
    const exchange = connection.send({ ...POST, body: { kind: "marked" } }, answer);
    await turn();
    handle.stalled = true;
    const piece = Buffer.alloc(10_000, "z");
    let pieces = 1;
    while (exchange.write(piece) === "more") pieces++;
    assert.ok(handle.queuedBytes <= 65_536 + 30_000, `${handle.queuedBytes}`);
    piece.fill("!");
    handle.stalled = false;
    handle.drain();
    assert.equal(answer.writable, 1);
    exchange.end([{ name: "x-sum", value: "1" }]);
    await turn();
    const wire = handle.take().toString();
    assert.equal(wire.match(/z/g)?.length, pieces * 10_000);
    assert.ok(wire.endsWith("\r\n0\r\nx-sum: 1\r\n\r\n"));
  });
}

test("an answer that is not taken is kept, bounded; the handle is paused", async () => {
  const { handle, connection, feed } = open();
  const answer = new Answer();
  const exchange = connection.send(GET, answer);
  feed("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
  exchange.pause();
  let sent = 0;
  while (!handle.isPaused) {
    feed("y".repeat(16_384));
    sent += 16_384;
    assert.ok(sent <= 65_536 + 16_384);
  }
  assert.equal(answer.body, "");
  exchange.resume();
  assert.equal(answer.body.length, sent);
  assert.equal(handle.isPaused, false);
});

test("a body that ends with its connection is complete at FIN, and lost at a reset", async () => {
  const whole = open();
  const first = new Answer();
  whole.connection.send(GET, first).end([]);
  await turn();
  whole.feed("HTTP/1.1 200 OK\r\n\r\nhello");
  whole.handle.end();
  assert.deepEqual([first.body, first.ended, first.failure], ["hello", 1, undefined]);
  const paused = open();
  const held = new Answer();
  const exchange = paused.connection.send(GET, held);
  await turn();
  paused.feed("HTTP/1.1 200 OK\r\n\r\n");
  exchange.pause();
  paused.handle.end();
  assert.equal(held.ended, 0);
  exchange.resume();
  assert.equal(held.ended, 1);
  const cut = open();
  const second = new Answer();
  cut.connection.send(GET, second).end([]);
  await turn();
  cut.feed("HTTP/1.1 200 OK\r\n\r\nhello");
  cut.handle.drop();
  await immediate();
  assert.deepEqual([second.ended, second.failure?.kind], [0, "lost"]);
});

test("trailers of an answer pass; forbidden ones are left out", () => {
  const { connection, feed } = open();
  const answer = new Answer();
  connection.send(GET, answer);
  feed(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSet-Cookie: a=b\r\nX-Sum: 1\r\n\r\n",
  );
  assert.deepEqual(answer.trailers, [{ name: "x-sum", value: "1" }]);
});

test("websocket: a tunnel after the 101, ended on both sides, never used again", async () => {
  const { handle, connection, events, feed } = open();
  const answer = new Answer();
  const exchange = connection.send(UPGRADE, answer);
  assert.equal(exchange.write(Buffer.from("early")), "closed");
  await turn();
  assert.match(handle.take().toString(), /\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n$/);
  feed("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst");
  assert.deepEqual([answer.heads, answer.body], [[101], "first"]);
  assert.equal(exchange.write(Buffer.from("up")), "more");
  handle.end();
  assert.equal(answer.ended, 1);
  assert.equal(exchange.write(Buffer.from("more")), "more");
  exchange.end([]);
  assert.ok(handle.isShutdown);
  assert.equal(handle.take().toString(), "upmore");
  handle.finish();
  await immediate();
  assert.equal(answer.failure, undefined);
  assert.deepEqual([connection.usable, events.idle, events.closed], [false, 0, 1]);
});

test("destroy tells the request that is under way", () => {
  const { connection, handle } = open();
  const answer = new Answer();
  connection.send(GET, answer);
  connection.destroy("certificate");
  assert.ok(handle.wasReset);
  assert.equal(answer.failure?.reason, "certificate");
});
