/** HTTP/2 requests inside tunnel streams, end to end: TLS, CONNECT, a stream as a handle, and requests on it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chooseBackend } from "../handle/choose-handle.ts";
import type { HandleBackend } from "../handle/handle-backend.ts";
import type {
  ClientExchange,
  ClientExchangeEvents,
  ClientFailure,
  ServerExchange,
} from "../http/exchange.ts";
import type { HttpField, RequestHead, ResponseHead } from "../http/message.ts";
import { Http2ClientConnection } from "../http2/client-connection.ts";
import { SMALL_STREAM_FLOOR } from "../http2/flow-control.ts";
import { Http2ServerConnection } from "../http2/server-connection.ts";
import { ip } from "../net/ip.ts";
import { hboneFixture } from "../testing/hbone-fixture.ts";
import { StreamHandle } from "./stream-handle.ts";

const TARGET = { ip: ip("10.0.0.1"), port: 80 };
const CALLER = { ip: ip("10.0.0.2"), port: 40_000 };
const POST: RequestHead = {
  version: "2",
  method: "POST",
  target: "/upload",
  authority: "shop.test",
  scheme: "http",
  fields: [],
  body: { kind: "marked" },
  upgrade: undefined,
  expectsContinue: false,
};
const PIECE = Buffer.alloc(50_000, "piece of a body ");

interface Ends {
  readonly connection: Http2ClientConnection;
  close(): Promise<void>;
}

async function ends(backend: HandleBackend, onRequest: (exchange: ServerExchange) => void): Promise<Ends> {
  const served = Promise.withResolvers<void>();
  const fixture = await hboneFixture({
    backend,
    onConnect: (request) => {
      const handle = new StreamHandle({ stream: request.accept(), local: TARGET, remote: request.source });
      new Http2ServerConnection(handle, {
        events: {
          onRequest,
          onRefused: ({ reason }) => assert.fail(reason),
          onClose: () => served.resolve(),
        },
      });
    },
  });
  const stream = await fixture.open(TARGET);
  const connection = new Http2ClientConnection(new StreamHandle({ stream, local: CALLER, remote: TARGET }), {
    events: { onIdle: () => undefined, onClose: () => undefined },
  });
  return {
    connection,
    close: async () => {
      connection.destroy("the test is over");
      await served.promise;
      await fixture.close();
    },
  };
}

/** Writes `left` pieces as fast as it may. */
class Writer {
  readonly #to: ClientExchange | ServerExchange;
  #left: number;
  writtenBytes = 0;

  constructor(to: ClientExchange | ServerExchange, pieces: number) {
    this.#to = to;
    this.#left = pieces;
  }

  goOn(): void {
    while (this.#left > 0) {
      this.#left--;
      this.writtenBytes += PIECE.length;
      if (this.#to.write(PIECE) === "pause") return;
    }
    if (this.#left-- === 0) this.#to.end([]);
  }
}

class Answer implements ClientExchangeEvents {
  readonly #done = Promise.withResolvers<ClientFailure | undefined>();
  readonly done: Promise<ClientFailure | undefined> = this.#done.promise;
  writer: Writer | undefined;
  status = 0;
  byteCount = 0;

  onInterim(): void {}

  onHead(head: ResponseHead): void {
    this.status = head.status;
  }

  onBody(bytes: Uint8Array): void {
    this.byteCount += bytes.length;
  }

  onEnd(_trailers: readonly HttpField[]): void {
    this.#done.resolve(undefined);
  }

  onWritable(): void {
    this.writer?.goOn();
  }

  onFailure(failure: ClientFailure): void {
    this.#done.resolve(failure);
  }
}

function ask(connection: Http2ClientConnection, pieces: number): Answer {
  const answer = new Answer();
  answer.writer = new Writer(connection.send(POST, answer), pieces);
  answer.writer.goOn();
  return answer;
}

/** Sends back what it gets, as fast as the caller takes it. */
function echo(exchange: ServerExchange): void {
  exchange.sendHead({ status: 200, fields: [], body: { kind: "marked" } });
  exchange.start({
    onBody: (bytes) => {
      if (exchange.write(bytes) === "pause") exchange.pause();
    },
    onEnd: () => exchange.end([]),
    onWritable: () => exchange.resume(),
    onAbort: () => undefined,
  });
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

for (const wanted of ["public", "raw"] as const) {
  const backend = chooseBackend({ wanted });
  describe(`requests over tunnels: ${wanted}`, () => {
    it("carries many bodies both ways at once", async () => {
      const { connection, close } = await ends(backend, echo);
      const answers = Array.from({ length: 12 }, (_, i) => ask(connection, i * 8));
      for (const [i, answer] of answers.entries()) {
        assert.equal(await answer.done, undefined);
        assert.deepEqual([answer.status, answer.byteCount], [200, i * 8 * PIECE.length]);
      }
      await close();
    });

    it("stops a sender at the windows of a reader that rests, and goes on with it", async () => {
      const accepted = Promise.withResolvers<ServerExchange>();
      const { connection, close } = await ends(backend, (exchange) => {
        exchange.pause();
        echo(exchange);
        accepted.resolve(exchange);
      });
      const pieces = 100;
      const answer = ask(connection, pieces);
      const exchange = await accepted.promise;
      let before = -1;
      for (let quiet = 0; quiet < 50; quiet++) {
        if (answer.writer?.writtenBytes !== before) quiet = 0;
        before = answer.writer?.writtenBytes ?? 0;
        await turn();
      }
      assert.ok(before <= SMALL_STREAM_FLOOR + PIECE.length, `${before} bytes were accepted`);
      exchange.resume();
      assert.equal(await answer.done, undefined);
      assert.equal(answer.byteCount, pieces * PIECE.length);
      await close();
    });

    it("shows the loss of the tunnel as a failure, never as an end", async () => {
      const accepted = Promise.withResolvers<ServerExchange>();
      const { connection, close } = await ends(backend, (exchange) => {
        exchange.sendHead({ status: 200, fields: [], body: { kind: "marked" } });
        exchange.write(PIECE);
        accepted.resolve(exchange);
      });
      const answer = ask(connection, 1);
      await accepted.promise;
      connection.destroy("the tunnel is gone");
      const failure = await answer.done;
      assert.ok(failure?.kind === "lost");
      await close();
    });
  });
}
