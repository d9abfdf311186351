/** Rules of RFC 9113 that need more than one frame to break or keep, beside the single frames of `session-abuse.test.ts`. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeHandle } from "../testing/fake-handle.ts";
import {
  connectBlock,
  data,
  frame,
  headers,
  literal,
  parseFrames,
  PREFACE,
  rst,
  settings,
  summary,
  uint32,
  windowUpdate,
} from "../testing/frames.ts";
import { createManualClock, type ManualClock } from "../testing/manual-clock.ts";
import { CONNECTION_WINDOW } from "./flow-control.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { headerField } from "./hpack/header-field.ts";
import type { Http2Stream, Http2StreamEvents } from "./http2-stream.ts";
import { SERVER_LIMITS, type SessionLimits } from "./session-options.ts";
import { Http2Session } from "./session.ts";

interface Server {
  readonly handle: FakeHandle;
  readonly session: Http2Session;
  readonly clock: ManualClock;
  readonly streams: Http2Stream[];
  /** Frames since the last call. */
  frames(): ReturnType<typeof parseFrames>;
  answer(): string[];
}

/** An application that takes nothing: stream windows are never credited. */
function server(limits: Partial<SessionLimits> = {}): Server {
  const handle = new FakeHandle();
  const clock = createManualClock();
  const streams: Http2Stream[] = [];
  const session = new Http2Session(handle, {
    role: "server",
    clock,
    limits: { ...SERVER_LIMITS, ...limits },
    events: {
      onRequest: (stream) => {
        streams.push(stream);
        stream.events = streamEvents([]);
      },
      onClose: () => undefined,
    },
  });
  handle.feed(Buffer.concat([PREFACE, settings(), frame(4, 1, 0)]));
  handle.take();
  const frames = (): ReturnType<typeof parseFrames> => parseFrames(handle.take());
  return { handle, session, clock, streams, frames, answer: () => summary(frames()) };
}

/** Writes down what a stream's owner is told. */
function streamEvents(seen: string[]): Http2StreamEvents {
  return {
    onHeaders: (fields, endStream) =>
      void seen.push(`headers ${fields.map(({ name, value }) => `${name}=${value}`).join()} ${endStream}`),
    onData: (pieces) => {
      seen.push(`data ${Buffer.concat(pieces).toString()}`);
      return "copied";
    },
    onEnd: () => void seen.push("end"),
    onWritable: () => undefined,
    onReset: (end) => void seen.push(end.kind),
  };
}

/** Credit that the frames give to the connection. */
function connectionCredit(frames: ReturnType<typeof parseFrames>): number {
  return frames
    .filter(({ type, streamId }) => type === 8 && streamId === 0)
    .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
}

describe("streams that are over", () => {
  it("the id of a stream that ended both ways cannot be opened again", () => {
    const peer = server();
    peer.handle.feed(headers(1, connectBlock(), 5));
    peer.streams[0]?.sendHeaders([headerField(":status", "200")], true);
    assert.equal(peer.streams[0]?.closed, true);
    peer.frames();
    peer.handle.feed(headers(1, connectBlock()));
    assert.deepEqual(peer.answer(), ["GOAWAY 1"]);
  });

  it("what still comes for a reset stream is dropped, and the connection is credited for it", () => {
    const peer = server();
    peer.handle.feed(headers(1, connectBlock()));
    peer.streams[0]?.reset();
    peer.frames();
    const late = data(1, Buffer.alloc(65_536));
    for (let i = 0; i < 128; i++) peer.handle.feed(late);
    const answered = peer.frames();
    assert.deepEqual(summary(answered), []);
    assert.equal(connectionCredit(answered), 128 * 65_536);
    assert.equal(peer.session.isDraining, false);
  });

  it("a flood of RST_STREAM for them is a flood", () => {
    const peer = server();
    peer.handle.feed(Buffer.concat([headers(1, connectBlock()), rst(1)]));
    for (let i = 0; i < 20_000 && !peer.handle.isShutdown; i++) peer.handle.feed(rst(1));
    assert.deepEqual(peer.answer(), ["GOAWAY 11"]);
  });

  it("refused streams are remembered for a while, not for ever", async () => {
    const peer = server({ maxStreams: 0 });
    for (let i = 0; i < 1_100; i++) {
      peer.handle.feed(headers(2 * i + 1, connectBlock()));
      await peer.clock.advance(20);
      peer.handle.feed(frame(6, 1, 0, lastPing(peer.handle)));
    }
    assert.equal(peer.session.isDraining, false);
    // Remembered: what was under way is dropped. Forgotten: it is what it looks like, a used id.
    peer.handle.take();
    peer.handle.feed(headers(2 * 1_099 + 1, connectBlock()));
    assert.deepEqual(peer.answer(), []);
    peer.handle.feed(headers(1, connectBlock()));
    assert.deepEqual(peer.answer(), ["GOAWAY 1"]);
  });
});

describe("the connection as a whole", () => {
  it("DATA beyond its window ends it, also when no stream's window is exceeded first", () => {
    const peer = server({ maxFrameSize: 0xff_ffff });
    peer.handle.feed(headers(1, connectBlock()));
    peer.streams[0]?.reset();
    peer.frames();
    // Not enough to be credited yet, then more than what is left.
    peer.handle.feed(data(1, Buffer.alloc(1 << 20)));
    assert.equal(connectionCredit(peer.frames()), 0);
    peer.handle.feed(data(1, Buffer.alloc(CONNECTION_WINDOW - (1 << 20) + 1)));
    assert.deepEqual(peer.answer(), ["GOAWAY 3"]);
  });

  it("SETTINGS without end are a flood, acknowledged or not", () => {
    for (const one of [settings(), frame(4, 1, 0)]) {
      const peer = server();
      for (let i = 0; i < 20_000 && !peer.handle.isShutdown; i++) peer.handle.feed(one);
      assert.equal(peer.answer().at(-1), "GOAWAY 11");
    }
  });

  it("SETTINGS whose acknowledgements are not read: bounded output, no more reading, reset at 20 s", async () => {
    const peer = server();
    peer.handle.stalled = true;
    for (let i = 0; i < 200 && !peer.handle.isPaused && !peer.handle.isShutdown; i++) {
      peer.handle.feed(Buffer.concat(Array.from({ length: 90 }, () => settings())));
    }
    assert.equal(peer.handle.isPaused, true);
    assert.ok(peer.handle.take().length < 100_000);
    await peer.clock.advance(19_999);
    assert.equal(peer.handle.wasReset, false);
    await peer.clock.advance(1);
    assert.equal(peer.handle.wasReset, true);
  });

  it("PING without end is a flood even when every answer is read", () => {
    const peer = server();
    const ping = frame(6, 0, 0, uint32(0, 1));
    for (let i = 0; i < 20_000 && !peer.handle.isShutdown; i++) peer.handle.feed(ping);
    assert.equal(peer.answer().at(-1), "GOAWAY 11");
  });
});

describe("responses to a client", () => {
  const status = [headerField(":status", "200")];
  const huffman = new HpackEncoder({ huffman: true }).encode([
    headerField(":status", "200"),
    headerField("baggage", "a=b"),
  ]);
  const forms: readonly (readonly [string, Uint8Array])[] = [
    ["indexed", new HpackEncoder().encode(status)],
    ["literal", literal(":status", "200")],
    ["Huffman-coded", huffman],
    ["a name from the table, the value Huffman-coded", Buffer.from([0x08, 0x82, 0x10, 0x01])],
    [
      "after an update of the table's size",
      Buffer.concat([Buffer.from([0x3f, 0xe1, 0x0f]), literal(":status", "200")]),
    ],
  ];
  for (const [name, block] of forms) {
    it(`a 200 is a 200: ${name}`, () => {
      const { handle, seen } = client();
      handle.feed(Buffer.concat([headers(1, block), data(1, "x")]));
      assert.match(seen[0] ?? "", /^headers :status=200/);
      assert.deepEqual(seen.slice(1), ["data x"]);
      assert.deepEqual(summary(parseFrames(handle.take())), []);
    });
  }

  it("a 200 that ends the stream is an answer and an end, and our half lives on", () => {
    const { handle, seen, stream } = client();
    handle.feed(headers(1, literal(":status", "200"), 5));
    assert.deepEqual(seen, ["headers :status=200 true", "end"]);
    assert.equal(stream.closed, false);
    stream.write(Buffer.from("on"));
    assert.deepEqual(summary(parseFrames(handle.take())), ["DATA 1 2"]);
  });

  it("trailers with END_STREAM end the stream after its data; without, they break the rules", () => {
    const good = client();
    good.handle.feed(
      Buffer.concat([
        headers(1, literal(":status", "200")),
        data(1, "all"),
        headers(1, literal("t", "x"), 5),
      ]),
    );
    assert.deepEqual(good.seen, ["headers :status=200 false", "data all", "headers t=x true", "end"]);
    const bad = client();
    bad.handle.feed(
      Buffer.concat([headers(1, literal(":status", "200")), data(1, "all"), headers(1, literal("t", "x"))]),
    );
    assert.deepEqual(summary(parseFrames(bad.handle.take())), ["RST 1 1"]);
    assert.equal(bad.seen.at(-1), "reset");
  });

  it("RST_STREAM of any code is a reset of the stream; after both ends it is nothing", () => {
    for (const code of [0, 1, 2, 3, 5, 8, 11, 13, 0xdead]) {
      const { handle, seen } = client();
      handle.feed(Buffer.concat([headers(1, literal(":status", "200")), rst(1, code)]));
      assert.equal(seen.at(-1), "reset", `code ${code}`);
    }
    const { handle, seen, stream } = client();
    handle.feed(headers(1, literal(":status", "200"), 5));
    stream.end();
    handle.feed(rst(1, 8));
    assert.deepEqual(seen.slice(1), ["end"]);
  });

  it("a window update for a stream that is over, and for one that the peer never opened", () => {
    const { handle, stream } = client();
    stream.reset();
    handle.take();
    handle.feed(windowUpdate(1, 10));
    assert.deepEqual(summary(parseFrames(handle.take())), []);
    handle.feed(windowUpdate(3, 10));
    assert.deepEqual(summary(parseFrames(handle.take())), ["GOAWAY 1"]);
  });
});

function client() {
  const handle = new FakeHandle();
  const seen: string[] = [];
  const session = new Http2Session(handle, {
    role: "client",
    clock: createManualClock(),
    events: { onClose: () => undefined },
  });
  handle.feed(Buffer.concat([settings(), frame(4, 1, 0)]));
  const fields = [headerField(":method", "CONNECT"), headerField(":authority", "a:1")];
  const stream = session.openStream(fields, streamEvents(seen));
  assert.ok(stream !== undefined);
  handle.take();
  return { handle, seen, stream };
}

/** The payload of the latest PING that was sent, to be answered. */
function lastPing(handle: FakeHandle): Buffer {
  const pings = parseFrames(handle.take()).filter(({ type, flags }) => type === 6 && flags === 0);
  return pings.at(-1)?.payload ?? Buffer.alloc(8);
}
