/**
 * The contract of `handle.ts` as one suite, to be run against every backend, plain and with TLS.
 * A test file calls `handleConformance`; sockets are real, on loopback.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import type { HandleEvents } from "../handle/handle.ts";
import { endings } from "./endings-conformance.ts";
import { type ConformanceOptions, handlePair, type OpenPair } from "./handle-pair.ts";
import { RecordingEvents, turns } from "./recording-events.ts";

export function handleConformance(options: ConformanceOptions): void {
  const { backend, tls } = options;
  const isTls = tls !== undefined;
  handleContract(`${backend.name} ${isTls ? "tls" : "tcp"}`, () => handlePair(options), isTls);
}

/** The same for any two ends that are connected. */
export function handleContract(name: string, open: OpenPair, isTls: boolean): void {
  describe(`handle contract: ${name}`, () => {
    transfers(open);
    endings(open, isTls);
    misuse(open);
  });
}

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
