import assert from "node:assert/strict";
import test, { after } from "node:test";
import { chooseBackend } from "../handle/choose-handle.ts";
import { KeptLimit } from "../handle/kept-bytes.ts";
import { STREAM_FLOOR } from "../http2/flow-control.ts";
import { ip } from "../net/ip.ts";
import { AmbitError } from "../runtime/errors.ts";
import { handleContract } from "../testing/handle-conformance.ts";
import type { HandlePair } from "../testing/handle-pair.ts";
import { type HboneFixture, hboneFixture } from "../testing/hbone-fixture.ts";
import { RecordingEvents } from "../testing/recording-events.ts";
import { HBONE_RESET } from "./hbone-errors.ts";
import type { HboneRequest } from "./hbone-request.ts";
import type { HboneStream, HboneStreamEvents } from "./hbone-stream.ts";
import { StreamHandle } from "./stream-handle.ts";

const TARGET = { ip: ip("10.0.0.1"), port: 80 };
const CALLER = { ip: ip("10.0.0.2"), port: 40_000 };

for (const wanted of ["public", "raw"] as const) {
  const backend = chooseBackend({ wanted });
  let fixture: Promise<HboneFixture> | undefined;
  const waiting: ((stream: HboneStream) => void)[] = [];

  const open = async (): Promise<HandlePair> => {
    fixture ??= hboneFixture({ backend, onConnect: (request) => waiting.shift()?.(request.accept()) });
    const accepted = Promise.withResolvers<HboneStream>();
    waiting.push(accepted.resolve);
    const outgoing = await (await fixture).open(TARGET);
    const client = new StreamHandle({ stream: outgoing, local: CALLER, remote: TARGET });
    const server = new StreamHandle({ stream: await accepted.promise, local: TARGET, remote: CALLER });
    return { client, server };
  };

  handleContract(`tunnel stream over ${wanted}`, open, false);
  after(async () => (await fixture)?.close());
}

/** The test plays the tunnel. */
class FakeStream implements HboneStream {
  readonly isOpen = true;
  events: HboneStreamEvents | undefined;
  answer: "more" | "pause" | "closed" = "more";
  readonly written: string[] = [];
  credited = 0;
  wasReset = false;

  start(events: HboneStreamEvents): void {
    this.events = events;
  }

  write(bytes: Uint8Array): "more" | "pause" | "closed" {
    this.written.push(Buffer.from(bytes).toString());
    return this.answer;
  }

  end(): void {
    this.written.push("END");
  }

  reset(): void {
    this.wasReset = true;
  }

  consumed(byteCount: number): void {
    this.credited += byteCount;
  }

  /** As a session does: pieces of one burst. Returns how many bytes are still to be credited. */
  bring(...texts: string[]): number {
    const pieces = texts.map((text) => Buffer.from(text));
    const byteCount = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (this.events?.onTunnelData(pieces, byteCount) === "consumed") this.credited += byteCount;
    for (const piece of pieces) piece.fill(0x78);
    return byteCount;
  }
}

interface Opened {
  readonly stream: FakeStream;
  readonly handle: StreamHandle;
}

function opened(): Opened {
  const stream = new FakeStream();
  return { stream, handle: new StreamHandle({ stream, local: TARGET, remote: CALLER }) };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("credits only what the reader took, and keeps the rest unchanged", async () => {
  const { stream, handle } = opened();
  const reader = new RecordingEvents(handle);
  stream.bring("one ");
  handle.pause();
  stream.bring("two ", "three ");
  assert.deepEqual([stream.credited, reader.bytes().toString()], [4, "one "]);
  handle.resume();
  assert.equal(reader.bytes().toString(), "one ", "resume never delivers before it returns");
  stream.bring("four");
  await turn();
  assert.deepEqual([stream.credited, reader.bytes().toString()], [18, "one two three four"]);
});

test("gives nothing after a pause within a burst, and reports the end behind the bytes", async () => {
  const { stream, handle } = opened();
  const seen: string[] = [];
  handle.start({
    onData: (bytes) => {
      seen.push(Buffer.from(bytes).toString());
      handle.pause();
    },
    onEnd: () => void seen.push("END"),
    onDrain: () => undefined,
    onClose: () => undefined,
  });
  stream.bring("a", "b");
  stream.events?.onTunnelEnd();
  assert.deepEqual([seen, stream.credited], [["a"], 1]);
  handle.resume();
  await turn();
  assert.deepEqual([seen, stream.credited], [["a", "b"], 2]);
  handle.resume();
  await turn();
  assert.deepEqual(seen, ["a", "b", "END"]);
});

test("pauses within a piece where the reader lends memory", async () => {
  const { stream, handle } = opened();
  const seen: string[] = [];
  const events = {
    onData: (bytes: Uint8Array) => {
      seen.push(Buffer.from(bytes).toString());
      handle.pause();
    },
    onEnd: () => undefined,
    onDrain: () => undefined,
    onClose: () => undefined,
  };
  handle.start(events, { next: () => Buffer.alloc(4) });
  stream.bring("abcdefg");
  assert.deepEqual([seen, stream.credited], [["abcd"], 4]);
  handle.resume();
  await turn();
  assert.deepEqual([seen, stream.credited], [["abcd", "efg"], 7]);
});

test("a loss ends the handle with its reason, and what was broken off is not delivered", async () => {
  const { stream, handle } = opened();
  const reader = new RecordingEvents(handle);
  handle.pause();
  stream.bring("half of it");
  stream.events?.onTunnelLoss({ kind: "reset-by-peer", code: 8 });
  await reader.closed;
  assert.equal((reader.error as AmbitError).code, HBONE_RESET);
  assert.deepEqual([reader.byteCount, handle.closed, handle.write(Buffer.from("x"))], [0, true, "closed"]);
});

test("what the peer completed before it gave up is still delivered", async () => {
  const { stream, handle } = opened();
  const reader = new RecordingEvents(handle);
  handle.pause();
  stream.bring("all of it");
  stream.events?.onTunnelEnd();
  stream.events?.onTunnelLoss({ kind: "reset-by-peer", code: 0 });
  assert.equal(handle.write(Buffer.from("x")), "closed");
  handle.resume();
  await reader.closed;
  assert.deepEqual([reader.bytes().toString(), reader.hasEnded], ["all of it", true]);
  assert.ok(reader.error instanceof AmbitError);
});

test("a refused tunnel closes the handle with the status", async () => {
  const { stream, handle } = opened();
  const reader = new RecordingEvents(handle);
  stream.events?.onTunnelLoss({ kind: "refused", status: 401 });
  await reader.closed;
  assert.deepEqual((reader.error as AmbitError).fields, { status: 401 });
});

test("END_STREAM waits for queued bytes, and only then is the connection closed", async () => {
  const { stream, handle } = opened();
  const reader = new RecordingEvents(handle);
  stream.answer = "pause";
  assert.equal(handle.write(Buffer.from("a")), "queued");
  assert.equal(handle.writev([Buffer.from("b"), Buffer.from("c"), Buffer.from("d")]), "queued");
  handle.shutdown();
  stream.events?.onTunnelEnd();
  await turn();
  assert.deepEqual([stream.written, handle.closed, handle.queuedBytes], [["a", "b", "cd"], false, 4]);
  stream.events?.onTunnelWritable();
  await reader.closed;
  assert.deepEqual(
    [stream.written, reader.error, handle.queuedBytes],
    [["a", "b", "cd", "END"], undefined, 0],
  );
  assert.equal(stream.wasReset, false);
});

test("what would have to be kept beyond what the process may keep ends the handle, and frees what it kept", async () => {
  const keptLimit = new KeptLimit(16_384);
  const stream = new FakeStream();
  const handle = new StreamHandle({ stream, local: TARGET, remote: CALLER, keptLimit });
  const reader = new RecordingEvents(handle);
  handle.pause();
  stream.bring("kept");
  assert.equal(keptLimit.usedBytes, 16_384);
  stream.bring("one too many");
  await reader.closed;
  assert.match(String(reader.error), /too much is kept/);
  assert.deepEqual([stream.wasReset, keptLimit.usedBytes], [true, 0]);
});

test("a paused reader stops the sender at the stream's window", async () => {
  const backend = chooseBackend({ wanted: "raw" });
  const accepted = Promise.withResolvers<HboneStream>();
  const onConnect = (request: HboneRequest): void => accepted.resolve(request.accept());
  const fixture = await hboneFixture({ backend, onConnect });
  const outgoing = await fixture.open(TARGET);
  const client = new StreamHandle({ stream: outgoing, local: CALLER, remote: TARGET });
  const counted = new CountingStream(await accepted.promise);
  const server = new StreamHandle({ stream: counted, local: TARGET, remote: CALLER });
  const reader = new RecordingEvents(server);
  server.pause();
  const writer = new RecordingEvents(client);
  const writing = writer.writeAll(Buffer.alloc(8 << 20), 65_536);
  await counted.reached(STREAM_FLOOR);
  for (let i = 0; i < 50; i++) await turn();
  assert.equal(counted.received, STREAM_FLOOR);
  server.resume();
  await writing;
  client.shutdown();
  await reader.ended;
  assert.equal(reader.byteCount, 8 << 20);
  server.shutdown();
  await writer.closed;
  await fixture.close();
});

/** Counts what comes out of the tunnel, read or kept. */
class CountingStream implements HboneStream {
  readonly isOpen = true;
  readonly #stream: HboneStream;
  readonly #reached = Promise.withResolvers<void>();
  #goal = Number.POSITIVE_INFINITY;
  received = 0;

  constructor(stream: HboneStream) {
    this.#stream = stream;
  }

  reached(goal: number): Promise<void> {
    this.#goal = goal;
    if (this.received >= goal) this.#reached.resolve();
    return this.#reached.promise;
  }

  start(events: HboneStreamEvents): void {
    this.#stream.start({
      onTunnelData: (pieces, byteCount) => {
        this.received += byteCount;
        if (this.received >= this.#goal) this.#reached.resolve();
        return events.onTunnelData(pieces, byteCount);
      },
      onTunnelEnd: () => events.onTunnelEnd(),
      onTunnelWritable: () => events.onTunnelWritable(),
      onTunnelLoss: (loss) => events.onTunnelLoss(loss),
    });
  }

  write(bytes: Uint8Array): "more" | "pause" | "closed" {
    return this.#stream.write(bytes);
  }

  end(): void {
    this.#stream.end();
  }

  reset(): void {
    this.#stream.reset();
  }

  consumed(byteCount: number): void {
    this.#stream.consumed(byteCount);
  }
}
