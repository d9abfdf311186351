/** gRPC through a forwarder: calls of every kind, their status, deadlines and cancellation. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  Client,
  credentials,
  type ClientDuplexStream,
  Metadata,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { chooseBackend } from "../handle/choose-handle.ts";
import type { Listener } from "../handle/socket-factory.ts";
import { ip } from "../net/ip.ts";
import { Forwarder } from "../testing/http-forwarder.ts";
import { Http2ClientConnection } from "./client-connection.ts";
import { Http2ServerConnection } from "./server-connection.ts";

const LOOPBACK = ip("127.0.0.1");
const same = (bytes: Buffer): Buffer => bytes;
const UNARY = "/test.Echo/Unary";
const STREAM = "/test.Echo/Stream";
const method = (path: string, isStream: boolean) => ({
  path,
  requestStream: isStream,
  responseStream: isStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

function unary(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void {
  const text = call.request.toString("latin1", 0, 5);
  // Never answered: the caller gives up.
  if (text === "sleep") return;
  const trailers = new Metadata();
  trailers.set("x-trailer", "t");
  if (text === "error") answer({ code: status.NOT_FOUND, details: "no such thing: ü", metadata: trailers });
  else answer(null, call.request, trailers);
}

/** Echoes each message, and ends with the caller. */
function stream(call: ServerDuplexStream<Buffer, Buffer>): void {
  call.on("data", (message: Buffer) => void call.write(message));
  call.on("end", () => call.end());
  call.on("error", () => undefined);
}

describe("gRPC through a forwarder", () => {
  const server = new Server();
  let forwarder: Forwarder;
  let upstream: Http2ClientConnection;
  let listener: Listener;
  let client: Client;

  before(async () => {
    server.addService(
      { Unary: method(UNARY, false), Stream: method(STREAM, true) },
      { Unary: unary, Stream: stream },
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    const backend = chooseBackend({ wanted: "raw" });
    const handle = await backend.connect({ destination: { ip: LOOPBACK, port }, timeoutMs: 5_000 });
    upstream = new Http2ClientConnection(handle, {
      events: { onIdle: () => undefined, onClose: () => undefined },
    });
    forwarder = new Forwarder({ connect: () => upstream });
    listener = await backend.listen({ ip: LOOPBACK, port: 0 }, 16, (accepted) => {
      new Http2ServerConnection(accepted, { events: forwarder });
    });
    client = new Client(`127.0.0.1:${listener.port}`, credentials.createInsecure());
  });

  after(() => {
    client.close();
    listener.close();
    upstream.destroy("the test is over");
    server.forceShutdown();
  });

  const ask = (body: Buffer, deadlineMs = 10_000): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + deadlineMs };
      client.makeUnaryRequest(UNARY, same, same, body, new Metadata(), options, (error, answer) =>
        error === null && answer !== undefined ? resolve(answer) : reject(error as Error),
      );
    });

  it("answers calls, many at once and large ones", async () => {
    const bodies = Array.from({ length: 30 }, (_, i) => Buffer.alloc(i * 30_000, `m${i}`));
    const answers = await Promise.all(bodies.map((body) => ask(body)));
    for (const [i, body] of bodies.entries()) assert.ok(answers[i]?.equals(body));
  });

  it("carries status, message and trailers of a failed call", async () => {
    await assert.rejects(ask(Buffer.from("error")), (error: ServiceError) => {
      assert.deepEqual([error.code, error.details], [status.NOT_FOUND, "no such thing: ü"]);
      assert.deepEqual(error.metadata.get("x-trailer"), ["t"]);
      return true;
    });
  });

  it("gives up at a deadline, and the server is told", async () => {
    await assert.rejects(ask(Buffer.from("sleep"), 100), { code: status.DEADLINE_EXCEEDED });
    assert.ok((await ask(Buffer.from("alive"))).equals(Buffer.from("alive")));
    assert.match(forwarder.aborts.join(), /the caller reset the request \(CANCEL\)/);
  });

  it("streams both ways, message by message", async () => {
    const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
      STREAM,
      same,
      same,
      new Metadata(),
    );
    const iterator = call[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (let i = 0; i < 20; i++) {
      const message = Buffer.alloc(i * 10_000 + 1, i);
      call.write(message);
      const { value } = (await iterator.next()) as IteratorYieldResult<Buffer>;
      assert.ok(value.equals(message));
    }
    call.end();
    assert.equal((await iterator.next()).done, true);
    assert.deepEqual(forwarder.failures, []);
  });
});
