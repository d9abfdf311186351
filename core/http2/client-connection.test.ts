import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ClientExchange, ClientExchangeEvents, ClientFailure } from "../http/exchange.ts";
import type { HttpField, RequestHead, ResponseHead } from "../http/message.ts";
import { FakeHandle } from "../testing/fake-handle.ts";
import { data, type Frame, goaway, headers, literal, rst, settings, summary } from "../testing/frames.ts";
import { createManualClock, settle } from "../testing/manual-clock.ts";
import { framesOf, headerLists, SETTINGS_ACK } from "../testing/request-server.ts";
import { KeptLimit } from "../handle/kept-bytes.ts";
import { Http2ClientConnection } from "./client-connection.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import { headerField } from "./hpack/header-field.ts";

const END = 5;

const GET: RequestHead = {
  version: "2",
  method: "GET",
  target: "/a?b=1",
  authority: "shop.test",
  scheme: "http",
  fields: [],
  body: { kind: "none" },
  upgrade: undefined,
  expectsContinue: false,
};
const POST: RequestHead = { ...GET, method: "POST", body: { kind: "marked" } };

/** Writes down an answer. */
class SeenAnswer implements ClientExchangeEvents {
  readonly heads: string[] = [];
  readonly #chunks: Buffer[] = [];
  trailers: readonly HttpField[] | undefined;
  failure: ClientFailure | undefined;
  writableCount = 0;
  exchange: ClientExchange | undefined;

  get body(): string {
    return Buffer.concat(this.#chunks).toString();
  }

  onInterim(head: ResponseHead): void {
    this.heads.push(`interim ${describeHead(head)}`);
  }

  onHead(head: ResponseHead): void {
    this.heads.push(describeHead(head));
  }

  onBody(bytes: Uint8Array): void {
    this.#chunks.push(Buffer.from(bytes));
  }

  onEnd(trailers: readonly HttpField[]): void {
    this.trailers = trailers;
  }

  onWritable(): void {
    this.writableCount++;
  }

  onFailure(failure: ClientFailure): void {
    this.failure = failure;
  }
}

function describeHead({ status, fields, body }: ResponseHead): string {
  const framing = body.kind === "length" ? `length ${body.bytes}` : body.kind;
  return [String(status), ...fields.map(({ name, value }) => `${name}=${value}`), framing].join(" ");
}

interface Upstream {
  readonly handle: FakeHandle;
  readonly connection: Http2ClientConnection;
  readonly idleCount: () => number;
  readonly closed: () => { readonly error: Error | undefined } | undefined;
  request(head?: RequestHead): SeenAnswer;
  send(...parts: readonly Uint8Array[]): void;
  frames(): Promise<readonly Frame[]>;
}

/** Its SETTINGS have not come. */
function silentUpstream(keptLimit?: KeptLimit): Upstream {
  const handle = new FakeHandle();
  let idleCount = 0;
  let closed: { readonly error: Error | undefined } | undefined;
  const connection = new Http2ClientConnection(handle, {
    clock: createManualClock(),
    ...(keptLimit === undefined ? {} : { keptLimit }),
    events: {
      onIdle: () => {
        idleCount++;
      },
      onClose: (error) => {
        closed = { error };
      },
    },
  });
  return {
    handle,
    connection,
    idleCount: () => idleCount,
    closed: () => closed,
    request: (head = GET) => {
      const answer = new SeenAnswer();
      answer.exchange = connection.send(head, answer);
      return answer;
    },
    send: (...parts) => handle.feed(Buffer.concat(parts)),
    frames: () => framesOf(handle),
  };
}

function upstream(...pairs: readonly (readonly [number, number])[]): Upstream {
  const made = silentUpstream();
  made.send(settings(...pairs), SETTINGS_ACK);
  return made;
}

const status = (code: number, ...fields: readonly (readonly [string, string])[]): Buffer =>
  Buffer.concat([[":status", String(code)] as const, ...fields].map(([name, value]) => literal(name, value)));

describe("a request", () => {
  it("goes out at once, before the upstream has said anything, with all that its head says", async () => {
    const { connection, request, frames } = silentUpstream();
    assert.ok(connection.usable && connection.capacity > 0);
    const fields = [headerField("x-one", "1"), headerField("te", "trailers")];
    request({ ...POST, fields, body: { kind: "length", bytes: 2 }, expectsContinue: true });
    const sent = await frames();
    assert.deepEqual(headerLists(sent), [
      ":method=POST :scheme=http :authority=shop.test :path=/a?b=1 x-one=1 te=trailers content-length=2 expect=100-continue",
    ]);
    assert.deepEqual(
      sent.map(({ type, flags }) => `${type} ${flags & 1}`),
      ["1 0"],
    );
  });

  it("without a body ends with its head; one with a body by `end`, with its trailers", async () => {
    const made = upstream();
    made.request().exchange?.end([]);
    const { exchange } = made.request(POST);
    assert.equal(exchange?.write(Buffer.from("body")), "more");
    exchange?.end([headerField("x-sum", "7")]);
    assert.equal(exchange?.write(Buffer.from("late")), "closed");
    const sent = await made.frames();
    assert.deepEqual(
      sent.map(({ type, flags, streamId }) => `${type} ${streamId} ${flags & 1}`),
      ["1 1 1", "1 3 0", "0 3 0", "1 3 1"],
    );
    assert.equal(headerLists(sent)[2], "x-sum=7");
  });

  it("leaves no trace of secrets and of what hardly repeats in the compression table", async () => {
    const made = upstream();
    const names = ["authorization", "cookie", "x-request-id", "traceparent", "grpc-timeout", "x-once"];
    const fields = names.map((name) => headerField(name, "v", name === "x-once"));
    made.request({ ...GET, target: "/secret", fields });
    const decoder = new HpackDecoder({ maxListBytes: 65_536 });
    const [block] = await made.frames();
    const decoded = decoder.decode(block?.payload ?? Buffer.alloc(0));
    assert.equal(decoded.kind === "headers" && decoded.fields.length, 4 + names.length);
    assert.deepEqual(
      decoder.tableEntries().map(({ name }) => name),
      [":authority"],
    );
    const sensitive = decoded.kind === "headers" ? decoded.fields.filter((field) => field.sensitive) : [];
    assert.deepEqual(
      sensitive.map(({ name }) => name),
      ["authorization", "cookie", "x-once"],
    );
  });

  it("cannot be an upgrade", async () => {
    const made = upstream();
    const answer = made.request({ ...GET, version: "1.1", upgrade: "websocket" });
    assert.deepEqual([answer.failure], [undefined], "never before send returns");
    await settle();
    assert.equal(answer.failure?.kind, "unsent");
    assert.deepEqual(await made.frames(), []);
  });

  it("that is aborted is reset, and nothing is reported", async () => {
    const made = upstream();
    const answer = made.request(POST);
    await made.frames();
    answer.exchange?.abort("the caller is gone");
    answer.exchange?.abort("again");
    assert.deepEqual(summary(await made.frames()), ["RST 1 8"]);
    made.send(headers(1, status(200), END));
    assert.deepEqual([answer.heads, answer.failure], [[], undefined]);
  });
});

describe("an answer", () => {
  it("comes with interim heads, head, body and trailers", () => {
    const made = upstream();
    const answer = made.request();
    made.send(headers(1, status(100)), headers(1, status(103, ["link", "</x>"])));
    made.send(headers(1, status(200, ["x-two", "2"])), data(1, "hello "), data(1, "world"));
    made.send(headers(1, Buffer.concat([literal("grpc-status", "0"), literal("authorization", "x")]), END));
    assert.deepEqual(answer.heads, ["interim 100 none", "interim 103 link=</x> none", "200 x-two=2 marked"]);
    assert.deepEqual([answer.body, answer.failure], ["hello world", undefined]);
    assert.deepEqual(
      answer.trailers?.map(({ name, value }) => `${name}=${value}`),
      ["grpc-status=0"],
    );
  });

  for (const [what, method, block, wanted] of [
    ["without a body", "GET", status(204), "204 none"],
    [
      "to HEAD, with the length of what is not sent",
      "HEAD",
      status(200, ["content-length", "9"]),
      "200 content-length=9 none",
    ],
    ["that did not change", "GET", status(304, ["content-length", "9"]), "304 content-length=9 none"],
  ] as const) {
    it(`${what} is complete with its END_STREAM, in the head or behind it`, () => {
      for (const inHead of [true, false]) {
        const made = upstream();
        const answer = made.request({ ...GET, method });
        made.send(headers(1, block, inHead ? END : 4), inHead ? Buffer.alloc(0) : data(1, "", 1));
        assert.deepEqual([answer.heads, answer.trailers, answer.failure], [[wanted], [], undefined]);
      }
    });
  }

  it("is held back while it is paused, from its head on", async () => {
    const made = upstream();
    const answer = made.request();
    answer.exchange?.pause();
    made.send(headers(1, status(200)), data(1, "hello", 1));
    assert.deepEqual([answer.heads.length, answer.body, answer.trailers], [1, "", undefined]);
    answer.exchange?.resume();
    await settle();
    assert.deepEqual([answer.body, answer.trailers], ["hello", []]);
  });

  it("with a length shows its last octet with its end", () => {
    const made = upstream();
    const answer = made.request();
    made.send(headers(1, status(200, ["content-length", "5"])), data(1, "hello"));
    assert.deepEqual([answer.heads, answer.body, answer.trailers], [["200 length 5"], "hell", undefined]);
    made.send(data(1, "", 1));
    assert.deepEqual([answer.body, answer.trailers], ["hello", []]);
  });

  it("before the request is complete: RST(NO_ERROR) behind it takes nothing back", async () => {
    const made = upstream();
    const answer = made.request(POST);
    answer.exchange?.pause();
    made.send(headers(1, status(413)), data(1, "no", 1), rst(1, 0));
    assert.equal(answer.exchange?.write(Buffer.from("more")), "closed");
    answer.exchange?.resume();
    await settle();
    assert.deepEqual([answer.body, answer.trailers, answer.failure], ["no", [], undefined]);
  });
});

describe("bad answers", () => {
  const many = Array.from({ length: 201 }, (_, i) => [`x-${i}`, "1"] as const);
  for (const [what, parts, afterHead] of [
    ["status 600", [headers(1, status(600), END)], false],
    ["no status", [headers(1, literal("x", "y"), END)], undefined],
    ["status 101", [headers(1, status(101))], undefined],
    [
      "a pseudo field of a request",
      [headers(1, Buffer.concat([status(200), literal(":path", "/")]), END)],
      undefined,
    ],
    ["connection", [headers(1, status(200, ["connection", "close"]), END)], undefined],
    ["transfer-encoding", [headers(1, status(200, ["transfer-encoding", "chunked"]))], undefined],
    ["a line feed in a value", [headers(1, status(200, ["x", "a\nb"]), END)], undefined],
    ["two lengths", [headers(1, status(200, ["content-length", "1"], ["content-length", "1"]))], false],
    ["a length that is none", [headers(1, status(200, ["content-length", "1, 1"]))], false],
    ["a length without a body", [headers(1, status(200, ["content-length", "1"]), END)], false],
    ["more than 200 fields", [headers(1, status(200, ...many), END)], false],
    [
      "a body longer than its length",
      [headers(1, status(200, ["content-length", "1"])), data(1, "ab", 1)],
      true,
    ],
    [
      "a body shorter than its length",
      [headers(1, status(200, ["content-length", "3"])), data(1, "ab", 1)],
      true,
    ],
    ["a body behind 204", [headers(1, status(204)), data(1, "a", 1)], true],
    ["DATA before a head", [data(1, "a")], undefined],
    ["a pseudo field in trailers", [headers(1, status(200)), headers(1, status(200), END)], undefined],
    ["an end before the head", [headers(1, status(103), END)], undefined],
    ["nine interim heads", Array.from({ length: 9 }, () => headers(1, status(103))), undefined],
  ] as const) {
    it(`${what}: reset, told apart from a good one, and never complete`, async () => {
      const made = upstream();
      const answer = made.request();
      await made.frames();
      made.send(...parts);
      assert.equal(answer.trailers, undefined);
      assert.ok(answer.failure !== undefined && answer.failure.kind !== "unsent");
      // What breaks HTTP/2 itself ends the stream below.
      if (afterHead !== undefined)
        assert.deepEqual([answer.failure.kind, answer.failure.afterHead], ["bad-answer", afterHead]);
      assert.deepEqual(summary(await made.frames()), ["RST 1 1"]);
      made.request();
      made.send(headers(3, status(200), END));
      assert.equal(made.closed(), undefined, "other requests are not touched");
    });
  }
});

describe("failures", () => {
  const lost = (afterHead: boolean, reason: string): ClientFailure => ({ kind: "lost", reason, afterHead });

  it("of one request, by what the upstream says", () => {
    const made = upstream();
    const answers = [made.request(), made.request(), made.request(), made.request()];
    made.send(rst(1, 7), rst(3, 2), headers(5, status(200)), data(5, "half"), rst(5, 8));
    made.send(headers(7, status(200)), rst(7, 0));
    const reason = (code: string): string => `the upstream reset the request (${code})`;
    assert.deepEqual(
      answers.map(({ failure }) => failure),
      [
        { kind: "unsent", reason: "the upstream refused the request" },
        lost(false, reason("INTERNAL_ERROR")),
        lost(true, reason("CANCEL")),
        lost(true, reason("NO_ERROR")),
      ],
    );
  });

  it("by GOAWAY: what it did not touch may be sent elsewhere, the rest is answered, then the connection closes", async () => {
    const made = upstream();
    const answers = [made.request(), made.request()];
    made.send(goaway(1));
    assert.deepEqual([made.connection.usable, made.connection.capacity], [false, 0]);
    assert.equal(answers[1]?.failure?.kind, "unsent");
    const late = made.request();
    await settle();
    assert.equal(late.failure?.kind, "unsent");
    made.send(headers(1, status(200), END));
    assert.deepEqual([answers[0]?.failure, answers[0]?.trailers], [undefined, []]);
    assert.equal(made.handle.isShutdown, true);
  });

  it("by the loss of the connection", async () => {
    const made = upstream();
    const answers = [made.request(), made.request()];
    made.send(headers(3, status(200)));
    made.handle.drop();
    await settle();
    assert.deepEqual(
      answers.map(({ failure }) => failure?.kind === "lost" && failure.afterHead),
      [false, true],
    );
    assert.ok(made.closed()?.error instanceof Error);
    assert.equal(made.connection.usable, false);
  });

  it("by an upstream that does not speak HTTP/2", async () => {
    const made = silentUpstream();
    const answer = made.request();
    made.send(Buffer.from("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"));
    assert.equal(answer.failure?.kind, "lost");
    made.handle.drop();
    await settle();
    assert.ok(made.closed()?.error instanceof Error);
  });

  it("by answers that would have to be kept beyond what the process may keep", async () => {
    const made = silentUpstream(new KeptLimit(16_384));
    made.send(settings(), SETTINGS_ACK);
    const answers = [made.request(), made.request()];
    for (const { exchange } of answers) exchange?.pause();
    made.send(headers(1, status(200)), data(1, "kept"));
    made.send(headers(3, status(200)), data(3, "one too many"));
    const reason = "too much is kept for readers that pause";
    assert.deepEqual(
      answers.map(({ failure }) => failure),
      [undefined, lost(true, reason)],
    );
    assert.deepEqual(summary(await made.frames()).slice(-1), ["RST 3 8"]);
  });

  it("by destroy", () => {
    const made = upstream();
    const answer = made.request();
    made.connection.destroy("the endpoint is gone");
    assert.match(String(answer.failure?.reason), /the endpoint is gone/);
    assert.equal(made.handle.wasReset, true);
  });

  it("by a bug in the code that is called: the connection ends and says so", async () => {
    const made = upstream();
    const answer = made.request();
    answer.onBody = () => assert.fail("a bug");
    made.send(headers(1, status(200)), data(1, "x"));
    await settle();
    assert.match(String(made.closed()?.error), /a bug/);
  });
});

describe("capacity", () => {
  it("is what the upstream takes, and comes back with each answer", async () => {
    const made = upstream([3, 2]);
    assert.equal(made.connection.capacity, 2);
    made.request();
    made.request();
    assert.equal(made.connection.capacity, 0);
    const third = made.request();
    await settle();
    assert.equal(third.failure?.kind, "unsent");
    const idleBefore = made.idleCount();
    made.send(headers(1, status(200), END));
    assert.deepEqual([made.connection.capacity, made.idleCount() > idleBefore], [1, true]);
  });

  it("has a bound where the upstream sets none", () => {
    assert.equal(upstream().connection.capacity, 200);
  });
});
