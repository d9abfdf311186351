/**
 * Caller, proxy and application, each with the engine on both sides of it: whatever is asked and answered, in whatever
 * pieces it travels, arrives as it was.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type {
  ClientExchange,
  ClientExchangeEvents,
  ServerExchange,
  ServerExchangeEvents,
} from "../http/exchange.ts";
import type { BodyFraming, HttpField, RequestHead, ResponseHead } from "../http/message.ts";
import { FakeHandle } from "../testing/fake-handle.ts";
import { Forwarder } from "../testing/http-forwarder.ts";
import { settle } from "../testing/manual-clock.ts";
import { exchangeBytes } from "../testing/memory-link.ts";
import { Http2ClientConnection } from "./client-connection.ts";
import { Http2ServerConnection } from "./server-connection.ts";

interface Message {
  readonly fields: readonly HttpField[];
  readonly pieces: readonly number[];
  readonly hasLength: boolean;
  readonly trailers: readonly HttpField[];
}

interface Call {
  readonly method: string;
  readonly target: string;
  readonly request: Message;
  readonly status: number;
  readonly answer: Message;
}

/** Names that no rule is about, so that every field must arrive. */
const field = fc.record({
  name: fc.stringMatching(/^x-[a-z0-9]{1,8}$/),
  value: fc.stringMatching(/^[!-~]([\t -~\u0080-\u00ff]{0,20}[!-~])?$/),
});
const message = fc.record({
  fields: fc.array(field, { maxLength: 6 }),
  pieces: fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 90_000 })), {
    maxLength: 6,
  }),
  hasLength: fc.boolean(),
  trailers: fc.array(field, { maxLength: 2 }),
});
const call = fc.record({
  method: fc.constantFrom("GET", "POST", "PUT", "PROPFIND"),
  target: fc.stringMatching(/^\/[!"$-~]{0,30}$/),
  request: message,
  status: fc.integer({ min: 200, max: 599 }).filter((code) => code !== 204 && code !== 304),
  answer: message,
});
const readSize = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 16_384 }));

function bytesOf({ pieces }: Message): Buffer {
  return Buffer.concat(pieces.map((size, i) => Buffer.alloc(size, 97 + (i % 26))));
}

function framingOf(sent: Message): BodyFraming {
  const total = sent.pieces.reduce((sum, size) => sum + size, 0);
  if (total === 0 && sent.trailers.length === 0) return { kind: "none" };
  return sent.hasLength ? { kind: "length", bytes: total } : { kind: "marked" };
}

/** Writes a body as a careful writer does. */
class Writing {
  readonly #to: ServerExchange | ClientExchange;
  readonly #message: Message;
  #next = 0;

  constructor(to: ServerExchange | ClientExchange, sent: Message) {
    this.#to = to;
    this.#message = sent;
  }

  goOn(): void {
    const { pieces, trailers } = this.#message;
    while (this.#next < pieces.length) {
      const i = this.#next++;
      if (this.#to.write(Buffer.alloc(pieces[i] ?? 0, 97 + (i % 26))) === "pause") return;
    }
    if (this.#next++ === pieces.length) this.#to.end(trailers);
  }
}

/** What one side got. */
class Got implements ClientExchangeEvents, ServerExchangeEvents {
  readonly #chunks: Buffer[] = [];
  head: ResponseHead | undefined;
  trailers: readonly HttpField[] | undefined;
  failure: string | undefined;
  writing: Writing | undefined;
  onComplete: () => void = () => undefined;

  onInterim(): void {}

  onHead(head: ResponseHead): void {
    this.head = head;
  }

  onBody(bytes: Uint8Array): void {
    this.#chunks.push(Buffer.from(bytes));
  }

  onEnd(trailers: readonly HttpField[]): void {
    this.trailers = trailers;
    this.onComplete();
  }

  onWritable(): void {
    this.writing?.goOn();
  }

  onFailure({ reason }: { readonly reason: string }): void {
    this.failure = reason;
  }

  onAbort(reason: string): void {
    this.failure = reason;
  }

  /** What matters, comparable. */
  summary(fields: readonly HttpField[]): unknown {
    const plain = (list: readonly HttpField[] = []): string[] =>
      list.map(({ name, value }) => `${name}: ${value}`);
    const { failure, trailers } = this;
    return {
      failure,
      fields: plain(fields),
      body: Buffer.concat(this.#chunks).toString("latin1"),
      trailers: plain(trailers),
    };
  }
}

function wanted(sent: Message): unknown {
  const plain = (list: readonly HttpField[]): string[] => list.map(({ name, value }) => `${name}: ${value}`);
  const body = bytesOf(sent).toString("latin1");
  return { failure: undefined, fields: plain(sent.fields), body, trailers: plain(sent.trailers) };
}

interface Asked {
  readonly head: RequestHead;
  readonly got: Got;
}

function application(handle: FakeHandle, calls: readonly Call[]): Asked[] {
  const asked: Asked[] = [];
  new Http2ServerConnection(handle, {
    events: {
      onRequest: (exchange) => {
        const got = new Got();
        asked.push({ head: exchange.head, got });
        const { status, answer } = calls[Number(exchange.head.authority.slice(1))] as Call;
        got.onComplete = () => {
          got.writing = new Writing(exchange, answer);
          exchange.sendHead({ status, fields: answer.fields, body: framingOf(answer) });
          got.writing.goOn();
        };
        exchange.start(got);
      },
      onRefused: ({ reason }) => assert.fail(reason),
      onClose: () => undefined,
    },
  });
  return asked;
}

function ask(connection: Http2ClientConnection, { method, target, request }: Call, index: number): Got {
  const got = new Got();
  const exchange = connection.send(
    {
      version: "2",
      method,
      target,
      authority: `n${index}`,
      scheme: "http",
      fields: request.fields,
      body: framingOf(request),
      upgrade: undefined,
      expectsContinue: false,
    },
    got,
  );
  got.writing = new Writing(exchange, request);
  got.writing.goOn();
  return got;
}

const nothing = { onIdle: () => undefined, onClose: () => undefined };

interface Chain {
  readonly connection: Http2ClientConnection;
  readonly forwarder: Forwarder;
  readonly asked: readonly Asked[];
  /** Moves everything there is to move. */
  move(): Promise<void>;
  close(): Promise<void>;
}

function chain(calls: readonly Call[], pieceBytes: () => number): Chain {
  const [caller, front, back, app] = Array.from({ length: 4 }, () => new FakeHandle()) as [
    FakeHandle,
    FakeHandle,
    FakeHandle,
    FakeHandle,
  ];
  const asked = application(app, calls);
  const upstream = new Http2ClientConnection(back, { events: nothing });
  const forwarder = new Forwarder({ connect: () => upstream });
  const server = new Http2ServerConnection(front, { events: forwarder });
  const connection = new Http2ClientConnection(caller, { events: nothing });
  return {
    connection,
    forwarder,
    asked,
    move: async () => {
      await exchangeBytes(caller, front, pieceBytes);
      await exchangeBytes(back, app, pieceBytes);
    },
    close: async () => {
      for (const each of [server, connection, upstream]) each.destroy("the test is over");
      app.drop();
      await settle();
    },
  };
}

const MOST_ROUNDS = 400;

test("what is asked and answered arrives as it was", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(call, { minLength: 1, maxLength: 5 }),
      fc.array(readSize, { minLength: 1 }),
      async (calls, sizes) => {
        let turn = 0;
        const made = chain(calls, () => sizes[turn++ % sizes.length] ?? 1);
        const answers = calls.map((each, index) => ask(made.connection, each, index));
        const isDone = (): boolean => answers.every((got) => got.trailers !== undefined);
        for (let round = 0; round < MOST_ROUNDS && !isDone(); round++) await made.move();
        const { refusals, failures, aborts } = made.forwarder;
        assert.deepEqual([refusals, failures, aborts], [[], [], []]);
        for (const [index, each] of calls.entries()) checkCall(each, answers[index], asked(made, index));
        await made.close();
      },
    ),
    { numRuns: 60 },
  );
});

function asked(made: Chain, index: number): Asked {
  const seen = made.asked.find(({ head }) => head.authority === `n${index}`);
  assert.ok(seen !== undefined, "the application was asked");
  return seen;
}

function checkCall(sent: Call, answer: Got | undefined, { head, got }: Asked): void {
  assert.deepEqual([head.method, head.target], [sent.method, sent.target]);
  assert.deepEqual(got.summary(head.fields), wanted(sent.request));
  assert.equal(answer?.head?.status, sent.status);
  assert.deepEqual(answer?.summary(answer.head?.fields ?? []), wanted(sent.answer));
}
