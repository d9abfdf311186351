/**
 * The contract of `handle.ts` as one suite, to be run against every backend, plain and with TLS.
 * A test file calls `handleConformance`; sockets are real, on loopback.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readlinkSync } from "node:fs";
import { describe, it } from "node:test";
import type { SecureContext } from "node:tls";
import { ip } from "../net/ip.ts";
import type { HandleBackend } from "../handle/handle-backend.ts";
import type { Handle, HandleEvents } from "../handle/handle.ts";
import { RecordingEvents } from "./recording-events.ts";

export interface ConformanceOptions {
  readonly backend: HandleBackend;
  /** Present: the suite runs on TLS handles. */
  readonly tls?: { readonly server: SecureContext; readonly client: SecureContext };
}

export interface HandlePair {
  readonly client: Handle;
  readonly server: Handle;
}

const LOOPBACK = ip("127.0.0.1");
const HANDSHAKE_MS = 10_000;

/** Two connected, not started handles. */
export async function handlePair({ backend, tls }: ConformanceOptions): Promise<HandlePair> {
  const accepted = Promise.withResolvers<Handle>();
  const listener = await backend.listen({ ip: LOOPBACK, port: 0 }, 16, accepted.resolve);
  const destination = { ip: LOOPBACK, port: listener.port };
  const client = await backend.connect({ destination, timeoutMs: HANDSHAKE_MS });
  const server = await accepted.promise;
  listener.close();
  if (tls === undefined) return { client, server };
  const [secureServer, secureClient] = await Promise.all([
    backend.tlsServer(server, { context: tls.server, handshakeTimeoutMs: HANDSHAKE_MS }),
    backend.tlsClient(client, { context: tls.client, handshakeTimeoutMs: HANDSHAKE_MS }),
  ]);
  return { client: secureClient, server: secureServer };
}

export function handleConformance(options: ConformanceOptions): void {
  const { backend, tls } = options;
  const open = (): Promise<HandlePair> => handlePair(options);
  describe(`handle contract: ${backend.name} ${tls === undefined ? "tcp" : "tls"}`, () => {
    transfers(open);
    endings(open, tls !== undefined);
    misuse(open);
  });
}

type OpenPair = () => Promise<HandlePair>;

function transfers(open: OpenPair): void {
  it("carries bytes unchanged both ways, with back-pressure", async () => {
    const { client, server } = await open();
    const sent = randomBytes(6 << 20);
    const toServer = new RecordingEvents(server);
    const toClient = new RecordingEvents(client);
    await Promise.all([toClient.writeAll(sent, 70_001), toServer.writeAll(sent, 3_333)]);
    client.shutdown();
    server.shutdown();
    await Promise.all([toServer.closed, toClient.closed]);
    assert.ok(toServer.bytes().equals(sent) && toClient.bytes().equals(sent));
    assert.deepEqual([toServer.error, toClient.error], [undefined, undefined]);
  });

  it("sends gathered pieces in order", async () => {
    const { client, server } = await open();
    const received = new RecordingEvents(server);
    const sender = new RecordingEvents(client);
    const pieces = Array.from({ length: 50 }, (_, i) => Buffer.alloc(i * 997, i));
    for (let round = 0; round < 4; round++) client.writev(pieces);
    client.shutdown();
    await received.ended;
    assert.ok(received.bytes().equals(Buffer.concat([...pieces, ...pieces, ...pieces, ...pieces])));
    server.shutdown();
    await sender.closed;
  });

  it("copies what is written while something is queued", async () => {
    const { client, server } = await open();
    const sender = new RecordingEvents(client);
    const first = randomBytes(24 << 20);
    assert.equal(client.write(first), "queued");
    assert.ok(client.queuedBytes > 0);
    const second = Buffer.from("second");
    const third = Buffer.from("third");
    assert.equal(client.write(second), "queued");
    assert.equal(client.writev([third, second]), "queued");
    second.fill(0x78);
    third.fill(0x78);
    const received = new RecordingEvents(server);
    await sender.drained();
    assert.equal(client.queuedBytes, 0);
    client.shutdown();
    await received.ended;
    assert.ok(received.bytes().equals(Buffer.concat([first, Buffer.from("secondthirdsecond")])));
    server.shutdown();
    await Promise.all([received.closed, sender.closed]);
  });

  it("delivers nothing between pause and resume once the pipe is dry", async () => {
    const { client, server } = await open();
    const received = new RecordingEvents(server);
    const sender = new RecordingEvents(client);
    server.pause();
    const sent = randomBytes(8 << 20);
    const writing = sender.writeAll(sent, 65_536);
    await turns(30);
    assert.ok(received.byteCount < sent.length);
    server.resume();
    await writing;
    client.shutdown();
    await received.ended;
    assert.ok(received.bytes().equals(sent));
    server.shutdown();
    await sender.closed;
  });

  it("keeps bytes that arrive before start", async () => {
    const { client, server } = await open();
    const sender = new RecordingEvents(client);
    client.write(Buffer.from("early "));
    await turns(20);
    client.write(Buffer.from("bird"));
    client.shutdown();
    await turns(20);
    const received = new RecordingEvents(server);
    await received.ended;
    assert.equal(received.bytes().toString(), "early bird");
    server.shutdown();
    await Promise.all([received.closed, sender.closed]);
    assert.equal(sender.error, undefined);
  });

  it("reads into lent buffers so that views outlive onData", async () => {
    const { client, server } = await open();
    const sender = new RecordingEvents(client);
    const views: Uint8Array[] = [];
    const ring = Buffer.allocUnsafeSlow(1 << 20);
    let used = 0;
    const ended = Promise.withResolvers<void>();
    const events: HandleEvents = {
      onData: (bytes) => void views.push(bytes),
      onEnd: ended.resolve,
      onDrain: () => undefined,
      onClose: () => undefined,
    };
    server.start(events, {
      next: (filled) => {
        used += filled;
        return ring.subarray(used);
      },
    });
    const sent = randomBytes(600_000);
    await sender.writeAll(sent, 50_000);
    client.shutdown();
    await ended.promise;
    assert.ok(Buffer.concat(views).equals(sent));
    server.shutdown();
    await sender.closed;
  });
}

function endings(open: OpenPair, isTls: boolean): void {
  it("leaves the other direction open after a FIN", async () => {
    const { client, server } = await open();
    const atClient = new RecordingEvents(client);
    const atServer = new RecordingEvents(server);
    client.write(Buffer.from("question"));
    client.shutdown();
    await atServer.ended;
    const answer = randomBytes(2 << 20);
    await atServer.writeAll(answer, 100_000);
    assert.equal(client.closed, false);
    server.shutdown();
    await Promise.all([atClient.closed, atServer.closed]);
    assert.ok(atClient.bytes().equals(answer));
    assert.deepEqual([atClient.error, atServer.error], [undefined, undefined]);
    assert.deepEqual([client.closed, server.closed], [true, true]);
  });

  it("shows a reset as an error, never as a clean end", async () => {
    const { client, server } = await open();
    const atClient = new RecordingEvents(client);
    const atServer = new RecordingEvents(server);
    server.write(randomBytes(100));
    server.reset();
    await seesLoss(client, atClient, isTls);
    await atServer.closed;
    assert.ok(atServer.error instanceof Error);
  });

  it("resets with writes queued, with a shutdown pending, and twice", async () => {
    const { client, server } = await open();
    const atServer = new RecordingEvents(server);
    const atClient = new RecordingEvents(client);
    server.pause();
    client.write(Buffer.alloc(24 << 20));
    client.shutdown();
    client.reset();
    client.reset();
    await atClient.closed;
    server.resume();
    await seesLoss(server, atServer, isTls);
    assert.ok(atServer.byteCount < 24 << 20);
  });

  it("resets right after a shutdown without leaking the socket", async () => {
    const before = openSockets();
    for (let i = 0; i < 20; i++) {
      const { client, server } = await open();
      const atServer = new RecordingEvents(server);
      const atClient = new RecordingEvents(client);
      client.shutdown();
      client.reset();
      await atClient.closed;
      await atServer.ended;
      server.reset();
      await atServer.closed;
    }
    await turns(5);
    assert.ok(openSockets() <= before, `${openSockets()} sockets open, ${before} before`);
  });

  it("reports the close once, also to a late start", async () => {
    const { client, server } = await open();
    server.reset();
    await turns(20);
    const atServer = new RecordingEvents(server);
    const atClient = new RecordingEvents(client);
    await atClient.ended;
    client.reset();
    await Promise.all([atServer.closed, atClient.closed]);
    await turns(20);
    assert.deepEqual([atServer.closeCount, atClient.closeCount], [1, 1]);
  });
}

function misuse(open: OpenPair): void {
  it("answers use after the end with closed", async () => {
    const { client, server } = await open();
    const atClient = new RecordingEvents(client);
    const atServer = new RecordingEvents(server);
    client.shutdown();
    assert.equal(client.write(Buffer.from("late")), "closed");
    client.shutdown();
    server.shutdown();
    await Promise.all([atClient.closed, atServer.closed]);
    for (const handle of [client, server]) {
      assert.equal(handle.write(Buffer.from("late")), "closed");
      assert.equal(handle.writev([Buffer.from("late"), Buffer.from("r")]), "closed");
      handle.shutdown();
      handle.pause();
      handle.resume();
      handle.reset();
    }
    await turns(10);
    assert.deepEqual([atClient.byteCount, atServer.byteCount], [0, 0]);
  });

  it("ends only the connection whose callback throws", async () => {
    const first = await open();
    const second = await open();
    const thrown = Promise.withResolvers<Error | undefined>();
    first.server.start({
      onData: () => {
        throw new Error("a bug");
      },
      onEnd: () => undefined,
      onDrain: () => undefined,
      onClose: thrown.resolve,
    });
    const peer = new RecordingEvents(first.client);
    first.client.write(Buffer.from("trigger"));
    assert.match(String(await thrown.promise), /a bug/);
    await peer.closed;
    const others = [new RecordingEvents(second.client), new RecordingEvents(second.server)] as const;
    second.client.write(Buffer.from("fine"));
    second.client.shutdown();
    await others[1].ended;
    assert.equal(others[1].bytes().toString(), "fine");
    second.server.reset();
    await Promise.all(others.map((events) => events.closed));
  });

  it("writes from within onData", async () => {
    const { client, server } = await open();
    const atClient = new RecordingEvents(client);
    const closed = Promise.withResolvers<void>();
    server.start({
      onData: (bytes) => {
        for (let i = 0; i < 3; i++) server.write(bytes);
      },
      onEnd: () => server.shutdown(),
      onDrain: () => undefined,
      onClose: () => closed.resolve(),
    });
    const sent = randomBytes(1 << 20);
    await atClient.writeAll(sent, 30_000);
    client.shutdown();
    await atClient.closed;
    await closed.promise;
    assert.equal(atClient.byteCount, 3 * sent.length);
  });
}

/** Below TLS a RST may be taken by a write and then look like an end; it never looks like a clean close. */
async function seesLoss(handle: Handle, events: RecordingEvents, isTls: boolean): Promise<void> {
  await events.ended;
  if (!isTls) assert.equal(events.hasEnded, false);
  else handle.reset();
  await events.closed;
  assert.ok(events.error instanceof Error);
}

function openSockets(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
}

/** Loop turns, for what has no event to wait for. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 2));
}
