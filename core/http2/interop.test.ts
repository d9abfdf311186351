/** Other people's HTTP/2 on both sides of a forwarder on real sockets: node:http2 and gRPC. */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { text } from "node:stream/consumers";
import { chooseBackend } from "../handle/choose-handle.ts";
import type { Listener } from "../handle/socket-factory.ts";
import { ip } from "../net/ip.ts";
import { Forwarder } from "../testing/http-forwarder.ts";
import { Http2ClientConnection } from "./client-connection.ts";
import { Http2ServerConnection } from "./server-connection.ts";

const LOOPBACK = ip("127.0.0.1");
const backend = chooseBackend({ wanted: "raw" });

interface Path {
  readonly caller: http2.ClientHttp2Session;
  readonly forwarder: Forwarder;
  close(): Promise<void>;
}

/** node:http2 to our server connection, our client connection to node:http2. */
async function path(
  onStream: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
): Promise<Path> {
  const app = http2.createServer();
  app.on("stream", onStream);
  app.listen(0, "127.0.0.1");
  await once(app, "listening");
  const port = (app.address() as AddressInfo).port;
  const upstreamHandle = await backend.connect({ destination: { ip: LOOPBACK, port }, timeoutMs: 5_000 });
  const upstream = new Http2ClientConnection(upstreamHandle, {
    events: { onIdle: () => undefined, onClose: () => undefined },
  });
  const forwarder = new Forwarder({ connect: () => upstream });
  const listener: Listener = await backend.listen({ ip: LOOPBACK, port: 0 }, 16, (handle) => {
    new Http2ServerConnection(handle, { events: forwarder });
  });
  const caller = http2.connect(`http://127.0.0.1:${listener.port}`);
  await once(caller, "connect");
  return {
    caller,
    forwarder,
    close: async () => {
      caller.destroy();
      listener.close();
      upstream.destroy("the test is over");
      app.close();
      await once(app, "close");
    },
  };
}

interface Answered {
  readonly status: number | undefined;
  readonly headers: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: string;
}

async function ask(
  caller: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: Buffer,
): Promise<Answered> {
  const stream = caller.request({ ":method": body === undefined ? "GET" : "POST", ...headers });
  let trailers: http2.IncomingHttpHeaders = {};
  stream.on("trailers", (fields) => {
    trailers = fields;
  });
  if (body !== undefined) stream.end(body);
  const [got] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
  return { status: Number(got[":status"]), headers: got, body: await text(stream), trailers };
}

describe("node:http2 on both sides", () => {
  it("asks and is answered, with fields, trailers and large bodies, many at once", async () => {
    const { caller, forwarder, close } = await path((stream, headers) => {
      stream.respond(
        { ":status": 201, "x-path": String(headers[":path"]), "set-cookie": ["a=1", "b=2"] },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": String(headers["cookie"]) }));
      stream.pipe(stream);
    });
    const bodies = Array.from({ length: 20 }, (_, i) => Buffer.alloc(i * 40_000, `${i} `));
    const answers = await Promise.all(
      bodies.map((body, i) => ask(caller, { ":path": `/n${i}`, cookie: ["c=3", "d=4"] }, body)),
    );
    for (const [i, { status, headers, body, trailers }] of answers.entries()) {
      assert.deepEqual([status, headers["x-path"], headers["set-cookie"]], [201, `/n${i}`, ["a=1", "b=2"]]);
      assert.equal(body, bodies[i]?.toString());
      assert.equal(trailers["x-sum"], "c=3; d=4");
    }
    assert.deepEqual([forwarder.failures, forwarder.refusals.length], [[], 0]);
    await close();
  });

  it("continues when it is told to, and HEAD and 204 have no body", async () => {
    const { caller, close } = await path((stream, headers) => {
      if (headers["expect"] === "100-continue") stream.additionalHeaders({ ":status": 100 });
      stream.additionalHeaders({ ":status": 103, link: "</a>" });
      const status = headers[":path"] === "/none" ? 204 : 200;
      stream.respond(
        { ":status": status, ...(headers[":method"] === "HEAD" ? { "content-length": 9 } : {}) },
        { endStream: headers[":method"] !== "POST" },
      );
      if (headers[":method"] === "POST") stream.pipe(stream);
    });
    const post = caller.request({ ":method": "POST", ":path": "/", expect: "100-continue" });
    await once(post, "continue");
    const [hints] = (await once(post, "headers")) as [http2.IncomingHttpHeaders];
    assert.equal(hints["link"], "</a>");
    post.end("body");
    assert.equal(await text(post), "body");
    const head = await ask(caller, { ":method": "HEAD", ":path": "/" });
    assert.deepEqual([head.status, head.headers["content-length"], head.body], [200, "9", ""]);
    assert.equal((await ask(caller, { ":path": "/none" })).status, 204);
    await close();
  });

  it("is answered before it has sent all, and goes on with other requests", async () => {
    const { caller, close } = await path((stream, headers) => {
      stream.respond({ ":status": headers[":path"] === "/large" ? 413 : 200 });
      stream.end("answer");
    });
    const large = caller.request({ ":method": "POST", ":path": "/large" });
    large.on("error", () => undefined);
    large.write(Buffer.alloc(10_000));
    const [got] = (await once(large, "response")) as [http2.IncomingHttpHeaders];
    assert.deepEqual([got[":status"], await text(large)], [413, "answer"]);
    assert.equal((await ask(caller, { ":path": "/next" })).body, "answer");
    await close();
  });

  it("sees an answer that is broken off as broken, and its own reset arrives", async () => {
    const resets: Promise<unknown>[] = [];
    const { caller, forwarder, close } = await path((stream, headers) => {
      stream.on("error", () => undefined);
      stream.respond({ ":status": 200 });
      stream.write("half");
      if (headers[":path"] === "/break")
        stream.once("drain", () => undefined).close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      else resets.push(once(stream, "close"));
    });
    const broken = caller.request({ ":path": "/break" });
    await assert.rejects(text(broken), /NGHTTP2_INTERNAL_ERROR/);
    const dropped = caller.request({ ":path": "/drop" });
    dropped.on("error", () => undefined);
    await once(dropped, "data");
    dropped.close(http2.constants.NGHTTP2_CANCEL);
    await Promise.all(resets);
    assert.match(forwarder.aborts.join(), /the caller reset the request \(CANCEL\)/);
    await close();
  });

  it("leaves by GOAWAY without losing anything", async () => {
    const { caller, close } = await path((stream) => {
      stream.respond({ ":status": 200 });
      setImmediate(() => stream.end("late"));
    });
    const answers = [ask(caller, { ":path": "/1" }), ask(caller, { ":path": "/2" })];
    caller.close();
    assert.deepEqual(
      (await Promise.all(answers)).map(({ body }) => body),
      ["late", "late"],
    );
    await close();
  });
});
