/** Against another implementation on real sockets: node's client in front, node's server behind, both socket backends. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Agent, createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { connect } from "node:net";
import { once } from "node:events";
import test, { type TestContext } from "node:test";
import { chooseBackend, type HandleBackend } from "../handle/choose-handle.ts";
import type { ClientConnection, ClientExchange, ClientExchangeEvents } from "../http/exchange.ts";
import { ip } from "../net/ip.ts";
import { Forwarder } from "../testing/http-forwarder.ts";
import { Http1ClientConnection } from "./client-connection.ts";
import { Http1ServerConnection } from "./server-connection.ts";

const LOOPBACK = ip("127.0.0.1");

interface Front {
  readonly port: number;
  /** Connections that were made to the upstream. */
  readonly dialled: () => number;
}

/** A connection that is dialled when the first request comes. */
class Dialled implements ClientConnection {
  readonly #connection: Promise<Http1ClientConnection>;
  capacity = 1;
  usable = true;

  constructor(connection: Promise<Http1ClientConnection>) {
    this.#connection = connection;
  }

  send(head: Parameters<ClientConnection["send"]>[0], events: ClientExchangeEvents): ClientExchange {
    let exchange: ClientExchange | undefined;
    const waiting: ((real: ClientExchange) => void)[] = [];
    const later = (action: (real: ClientExchange) => void): void => {
      if (exchange === undefined) waiting.push(action);
      else action(exchange);
    };
    void this.#connection.then((connection) => {
      exchange = connection.send(head, events);
      for (const action of waiting) action(exchange);
      if (waiting.length > 0) events.onWritable();
    });
    return {
      write: (bytes) => {
        if (exchange !== undefined) return exchange.write(bytes);
        const copy = Buffer.from(bytes);
        waiting.push((real) => void real.write(copy));
        return "pause";
      },
      end: (trailers) => later((real) => real.end(trailers)),
      abort: (reason) => later((real) => real.abort(reason)),
      pause: () => later((real) => real.pause()),
      resume: () => later((real) => real.resume()),
    };
  }

  destroy(): void {}
}

async function front(t: TestContext, backend: HandleBackend, upstreamPort: number): Promise<Front> {
  const idle: Http1ClientConnection[] = [];
  const open = new Set<{ destroy(reason: string): void }>();
  let dialled = 0;
  const dial = async (): Promise<Http1ClientConnection> => {
    dialled++;
    const handle = await backend.connect({
      destination: { ip: LOOPBACK, port: upstreamPort },
      timeoutMs: 5_000,
    });
    const connection: Http1ClientConnection = new Http1ClientConnection(handle, {
      onIdle: () => void idle.push(connection),
      onClose: () => {
        open.delete(connection);
        const at = idle.indexOf(connection);
        if (at >= 0) idle.splice(at, 1);
      },
    });
    open.add(connection);
    return connection;
  };
  const forwarder = new Forwarder({ connect: () => idle.pop() ?? new Dialled(dial()) });
  const listener = await backend.listen({ ip: LOOPBACK, port: 0 }, 16, (handle) => {
    open.add(new Http1ServerConnection(handle, { events: forwarder }));
  });
  t.after(() => {
    listener.close();
    for (const each of open) each.destroy("end of the test");
  });
  return { port: listener.port, dialled: () => dialled };
}

async function upstream(t: TestContext, answer: Parameters<typeof createServer>[1]): Promise<number> {
  const server: Server = createServer({}, answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function bodyOf(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

for (const wanted of ["raw", "public"] as const) {
  const backend = chooseBackend({ wanted });

  test(`${wanted}: requests on one connection share one upstream connection`, async (t) => {
    const port = await upstream(t, (request, response) => response.end(`${request.method} ${request.url}`));
    const { port: frontPort, dialled } = await front(t, backend, port);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    for (let i = 0; i < 20; i++) {
      const sent = httpRequest({ port: frontPort, host: "127.0.0.1", path: `/${i}`, agent });
      sent.end();
      const [answer] = (await once(sent, "response")) as [IncomingMessage];
      assert.equal((await bodyOf(answer)).toString(), `GET /${i}`);
    }
    assert.equal(dialled(), 1);
  });

  test(`${wanted}: large bodies both ways at once, by length and in chunks, arrive whole`, async (t) => {
    const port = await upstream(t, (request, response) => {
      const length = request.headers["content-length"];
      if (length !== undefined) response.setHeader("content-length", length);
      request.pipe(response);
    });
    const { port: frontPort } = await front(t, backend, port);
    const body = Buffer.alloc(6 * 1024 * 1024);
    for (let i = 0; i < body.length; i += 4) body.writeUInt32LE(Math.imul(i, 2_654_435_761) >>> 0, i);
    for (const headers of [{ "content-length": body.length }, { "transfer-encoding": "chunked" }]) {
      const sent = httpRequest({ port: frontPort, host: "127.0.0.1", method: "POST", headers, agent: false });
      const answered = once(sent, "response") as Promise<[IncomingMessage]>;
      sent.end(body);
      const [answer] = await answered;
      const echoed = await bodyOf(answer);
      assert.deepEqual([echoed.length, digest(echoed)], [body.length, digest(body)]);
    }
  });

  test(`${wanted}: 100-continue, trailers, HEAD, 204 and an upstream that closes`, async (t) => {
    const port = await upstream(t, (request, response) => {
      if (request.url === "/none") response.writeHead(204).end();
      else if (request.method === "HEAD") response.writeHead(200, { "content-length": 4 }).end();
      else if (request.url === "/close") response.writeHead(200, { connection: "close" }).end("bye");
      else {
        response.writeHead(200, { trailer: "x-sum" });
        request.resume();
        response.write("part");
        response.addTrailers({ "x-sum": "7" });
        response.end();
      }
    });
    const { port: frontPort } = await front(t, backend, port);
    const ask = async (options: object, body = ""): Promise<IncomingMessage> => {
      const sent = httpRequest({ port: frontPort, host: "127.0.0.1", agent: false, ...options });
      if (body === "") sent.end();
      else sent.on("continue", () => sent.end(body)).flushHeaders();
      return ((await once(sent, "response")) as [IncomingMessage])[0];
    };
    const continued = await ask(
      { method: "PUT", headers: { expect: "100-continue", "content-length": 3 } },
      "abc",
    );
    assert.equal((await bodyOf(continued)).toString(), "part");
    assert.deepEqual(continued.trailers, { "x-sum": "7" });
    const head = await ask({ method: "HEAD" });
    assert.equal(head.headers["content-length"], "4");
    assert.equal((await bodyOf(head)).length, 0);
    const none = await ask({ path: "/none" });
    assert.equal(none.statusCode, 204);
    for (let i = 0; i < 3; i++) assert.equal((await bodyOf(await ask({ path: "/close" }))).toString(), "bye");
  });

  test(`${wanted}: the refusal is read by a caller that is still sending`, async (t) => {
    const port = await upstream(t, (_request, response) => response.end());
    const { port: frontPort } = await front(t, backend, port);
    const socket: Socket = connect({ port: frontPort, host: "127.0.0.1" });
    t.after(() => socket.destroy());
    socket.on("error", () => undefined);
    socket.write("POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 600000\r\n\r\n");
    socket.write(Buffer.alloc(600_000));
    let text = "";
    for await (const chunk of socket) text += (chunk as Buffer).toString();
    assert.match(text, /^HTTP\/1\.1 400 [^]*\r\n\r\nhost twice$/);
  });

  test(`${wanted}: a websocket echoes through`, async (t) => {
    const server = createServer();
    server.on("upgrade", (_request, socket: Socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port: frontPort } = await front(t, backend, (server.address() as AddressInfo).port);
    const sent = httpRequest({
      port: frontPort,
      host: "127.0.0.1",
      headers: { connection: "Upgrade", upgrade: "websocket" },
    });
    sent.end();
    const [, socket] = (await once(sent, "upgrade")) as [IncomingMessage, Socket];
    socket.write("hello");
    assert.equal(String(((await once(socket, "data")) as [Buffer])[0]), "hello");
    socket.end();
    await once(socket, "close");
  });
}
