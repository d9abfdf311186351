import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeHandle } from "../testing/fake-handle.ts";
import {
  connectBlock,
  data,
  frame,
  goaway,
  headers,
  indexedEntry,
  literal,
  parseFrames,
  ping,
  PREFACE,
  rst,
  settings,
  summary,
  uint32,
  windowUpdate,
} from "../testing/frames.ts";
import { createManualClock, type ManualClock, settle } from "../testing/manual-clock.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { headerField } from "./hpack/header-field.ts";
import type { Http2Stream, StreamEnd } from "./http2-stream.ts";
import { Http2Session } from "./session.ts";

interface Peer {
  readonly handle: FakeHandle;
  readonly session: Http2Session;
  readonly clock: ManualClock;
  readonly streams: Map<number, { stream: Http2Stream; bytes: number; ended: boolean; end?: StreamEnd }>;
  readonly closed: Promise<Error | undefined>;
  /** Everything the session answered since the last call. */
  answer(): string[];
}

function server(): Peer {
  const handle = new FakeHandle();
  const clock = createManualClock();
  const streams: Peer["streams"] = new Map();
  const closed = Promise.withResolvers<Error | undefined>();
  const session = new Http2Session(handle, {
    role: "server",
    clock,
    events: {
      onRequest: (stream) => {
        const seen: { stream: Http2Stream; bytes: number; ended: boolean; end?: StreamEnd } = {
          stream,
          bytes: 0,
          ended: false,
        };
        streams.set(stream.id, seen);
        stream.events = {
          onHeaders: () => undefined,
          onData: (_pieces, byteCount) => {
            seen.bytes += byteCount;
            return "consumed";
          },
          onEnd: () => {
            seen.ended = true;
          },
          onWritable: () => undefined,
          onReset: (end) => {
            seen.end = end;
          },
        };
      },
      onClose: closed.resolve,
    },
  });
  return {
    handle,
    session,
    clock,
    streams,
    closed: closed.promise,
    answer: () => summary(parseFrames(handle.take())),
  };
}

const START = Buffer.concat([PREFACE, settings()]);
const OPEN = headers(1, connectBlock());

function fed(...parts: readonly Uint8Array[]): Peer {
  const peer = server();
  peer.handle.feed(Buffer.concat([START, ...parts]));
  return peer;
}

const big = (bytes: number): Buffer => Buffer.alloc(bytes);
const padded = (streamId: number, pad: number, text: string): Buffer =>
  frame(0, 8, streamId, Buffer.concat([Buffer.from([pad]), Buffer.from(text), big(pad)]));

describe("abuse that ends the connection with GOAWAY", () => {
  const cases: readonly (readonly [string, Buffer[], number])[] = [
    ["a frame above MAX_FRAME_SIZE", [OPEN, frame(0, 0, 1, big((1 << 20) + 1))], 6],
    ["PING of 7 octets", [frame(6, 0, 0, big(7))], 6],
    ["RST_STREAM of 5 octets", [OPEN, frame(3, 0, 1, big(5))], 6],
    ["WINDOW_UPDATE of 3 octets", [frame(8, 0, 0, big(3))], 6],
    ["PRIORITY of 4 octets", [frame(2, 0, 1, big(4))], 6],
    ["SETTINGS of 7 octets", [frame(4, 0, 0, big(7))], 6],
    ["SETTINGS ACK with a payload", [frame(4, 1, 0, big(6))], 6],
    ["GOAWAY of 4 octets", [frame(7, 0, 0, big(4))], 6],
    ["ENABLE_PUSH 2", [settings([2, 2])], 1],
    ["INITIAL_WINDOW_SIZE 2^31", [settings([4, 0x8000_0000])], 3],
    ["MAX_FRAME_SIZE 1", [settings([5, 1])], 1],
    ["SETTINGS on a stream", [frame(4, 0, 1)], 1],
    ["PING on a stream", [frame(6, 0, 1, big(8))], 1],
    ["DATA on stream 0", [data(0, "x")], 1],
    ["HEADERS on stream 0", [headers(0, connectBlock())], 1],
    ["PUSH_PROMISE", [frame(5, 4, 1, big(8))], 1],
    ["WINDOW_UPDATE on an idle stream", [windowUpdate(5, 1)], 1],
    ["DATA on an idle stream", [data(5, "x")], 1],
    ["RST_STREAM on an idle stream", [rst(5)], 1],
    ["an even stream id", [headers(2, connectBlock())], 1],
    ["a falling stream id", [headers(5, connectBlock()), headers(3, connectBlock())], 1],
    ["CONTINUATION alone", [frame(9, 4, 1, connectBlock())], 1],
    ["an interrupted header block", [headers(1, connectBlock(), 0), ping()], 1],
    ["CONTINUATION of another stream", [headers(1, connectBlock(), 0), frame(9, 4, 3)], 1],
    ["padding as long as the frame", [OPEN, frame(0, 8, 1, Buffer.from([5, 1, 2, 3, 4]))], 1],
    ["padding as long as the header frame", [frame(1, 0xc, 1, Buffer.from([9, 1, 2]))], 1],
    ["WINDOW_UPDATE 0 on the connection", [windowUpdate(0, 0)], 1],
    ["overflow of the connection window", [windowUpdate(0, 0x7fff_ffff)], 3],
    [
      "a window lifted beyond 2^31-1 by SETTINGS",
      [OPEN, windowUpdate(1, 0x7fff_0000), settings([4, 0x7fff_ffff])],
      3,
    ],
    [
      "CONTINUATION flood",
      [headers(1, big(0), 0), ...Array.from({ length: 9 }, () => frame(9, 0, 1, Buffer.from([0x80])))],
      11,
    ],
    [
      "empty CONTINUATION flood",
      [headers(1, connectBlock(), 0), ...Array.from({ length: 9 }, () => frame(9, 0, 1))],
      11,
    ],
    ["a header block above 64 KiB", [headers(1, big(65_537), 4)], 11],
    ["HPACK index 0", [headers(1, Buffer.from([0x80]))], 9],
    ["HPACK index that is not there", [headers(1, Buffer.from([0xbf]))], 9],
    [
      "HPACK integer without end",
      [headers(1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))],
      9,
    ],
    ["HPACK size update above the limit", [headers(1, Buffer.from([0x3f, 0xff, 0xff, 0x03]))], 9],
    ["HPACK late size update", [headers(1, Buffer.concat([connectBlock(), Buffer.from([0x20])]))], 9],
    ["HPACK string cut off", [headers(1, Buffer.from([0x00, 0x05, 0x61]))], 9],
    ["HPACK bad Huffman", [headers(1, Buffer.from([0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01, 0x61]))], 9],
    [
      "3,000 streams opened and reset",
      Array.from({ length: 3_000 }, (_, i) =>
        Buffer.concat([headers(2 * i + 1, connectBlock()), rst(2 * i + 1)]),
      ),
      11,
    ],
    ["20,000 PRIORITY", Array.from({ length: 20_000 }, () => frame(2, 0, 1, big(5))), 11],
    ["20,000 empty DATA", [OPEN, ...Array.from({ length: 20_000 }, () => data(1, ""))], 11],
    ["20,000 WINDOW_UPDATE", [OPEN, ...Array.from({ length: 20_000 }, () => windowUpdate(1, 1))], 11],
    ["20,000 unknown frames", Array.from({ length: 20_000 }, () => frame(0x42, 0, 0)), 11],
  ];
  for (const [name, parts, code] of cases) {
    it(name, async () => {
      const peer = fed(...parts);
      assert.equal(peer.answer().at(-1), `GOAWAY ${code}`);
      assert.equal(peer.handle.isShutdown, true);
      await peer.clock.advance(1_000);
      assert.equal(peer.handle.closed, true);
      assert.equal(((await peer.closed) as { code?: string }).code, "HTTP2_PEER_BROKE_RULES");
      for (const seen of peer.streams.values()) assert.ok(seen.end !== undefined || seen.stream.closed);
    });
  }

  it("a bad preface, and SETTINGS not first", () => {
    for (const bytes of [
      Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
      Buffer.concat([PREFACE, ping()]),
    ]) {
      const peer = server();
      peer.handle.feed(bytes);
      assert.deepEqual(peer.answer(), ["GOAWAY 1"]);
    }
  });
});

describe("abuse that costs one stream", () => {
  const cases: readonly (readonly [string, Buffer[], string])[] = [
    ["WINDOW_UPDATE 0", [OPEN, windowUpdate(1, 0)], "RST 1 1"],
    ["window overflow", [OPEN, windowUpdate(1, 0x7fff_ffff)], "RST 1 3"],
    ["DATA after END_STREAM", [OPEN, data(1, "x", 1), data(1, "y")], "RST 1 5"],
    ["DATA beyond the stream's window", [OPEN, data(1, big((1 << 18) + 1))], "RST 1 3"],
    ["upper case in a name", [headers(1, Buffer.concat([connectBlock(), literal("Foo", "x")]))], "RST 1 1"],
    [
      "a connection header",
      [headers(1, Buffer.concat([connectBlock(), literal("connection", "x")]))],
      "RST 1 1",
    ],
    ["CONNECT with :path", [headers(1, Buffer.concat([literal(":path", "/"), connectBlock()]))], "RST 1 1"],
    ["a late pseudo field", [headers(1, Buffer.concat([literal("a", "b"), connectBlock()]))], "RST 1 1"],
    [
      "a double pseudo field",
      [headers(1, Buffer.concat([connectBlock(), literal(":method", "CONNECT")]))],
      "RST 1 1",
    ],
    ["CRLF in a value", [headers(1, Buffer.concat([connectBlock(), literal("a", "b\r\nc: d")]))], "RST 1 1"],
    ["no authority", [headers(1, literal(":method", "CONNECT"))], "RST 1 1"],
    ["trailers without END_STREAM", [OPEN, headers(1, literal("a", "b"))], "RST 1 1"],
    ["a header list above 64 KiB", [headers(1, bomb())], "RST 1 11"],
  ];
  for (const [name, parts, expected] of cases) {
    it(name, () => {
      const peer = fed(...parts, headers(9, connectBlock()), data(9, "still here"));
      assert.deepEqual(peer.answer(), [expected]);
      assert.equal(peer.streams.get(9)?.bytes, 10);
      assert.equal(peer.session.isDraining, false);
    });
  }

  it("more than 1,000 streams are refused, 300 are not", () => {
    const peer = fed(...Array.from({ length: 1_005 }, (_, i) => headers(2 * i + 1, connectBlock())));
    assert.deepEqual(
      peer.answer(),
      Array.from({ length: 5 }, (_, i) => `RST ${2_001 + 2 * i} 7`),
    );
    assert.equal(peer.session.streamCount, 1_000);
  });
});

describe("what must not harm", () => {
  it("padding, priority, CONTINUATION, unknown frames, late frames after RST", () => {
    const block = connectBlock();
    const priority = Buffer.concat([uint32(0), Buffer.from([16])]);
    const peer = fed(
      frame(0x42, 0xff, 7, big(100)),
      frame(1, 0x20, 1, Buffer.concat([priority, block.subarray(0, 7)])),
      frame(9, 0, 1, block.subarray(7, 9)),
      frame(9, 4, 1, block.subarray(9)),
      padded(1, 200, "hello"),
      padded(1, 0, ""),
      frame(2, 0, 1, priority),
      frame(1, 0xc, 3, Buffer.concat([Buffer.from([4]), block, big(4)])),
      rst(3),
      data(3, "late"),
      windowUpdate(3, 5),
      rst(3),
      headers(1, literal("trailer", "x"), 5),
    );
    assert.deepEqual(peer.answer(), []);
    assert.deepEqual([peer.streams.get(1)?.bytes, peer.streams.get(1)?.ended], [5, true]);
    assert.deepEqual(peer.streams.get(3)?.end, { kind: "reset", code: 8 });
    assert.equal(peer.session.isDraining, false);
  });

  it("GOAWAY once or 2,000 times: open streams finish, then close", async () => {
    const peer = fed(OPEN, ...Array.from({ length: 2_000 }, () => goaway(0)), data(1, "more"));
    assert.equal(peer.streams.get(1)?.bytes, 4);
    assert.equal(peer.handle.isShutdown, false);
    peer.streams.get(1)?.stream.end();
    peer.handle.feed(data(1, "", 1));
    await peer.clock.advance(1_000);
    assert.equal(peer.handle.isShutdown, true);
    peer.handle.end();
    peer.handle.drop();
    await settle();
  });

  it("half a preface and silence is closed at 10 s; unacknowledged SETTINGS at 20 s", async () => {
    const half = server();
    half.handle.feed(PREFACE.subarray(0, 10));
    await half.clock.advance(9_999);
    assert.equal(half.handle.closed, false);
    await half.clock.advance(1);
    assert.equal(half.handle.wasReset, true);
    const deaf = fed();
    await deaf.clock.advance(10_000);
    deaf.handle.feed(frame(6, 1, 0, uint32(0, 1)));
    deaf.answer();
    await deaf.clock.advance(10_000);
    assert.deepEqual(deaf.answer(), ["GOAWAY 4"]);
  });

  it("a header block that does not end: GOAWAY at 10 s; not while we ourselves do not read", async () => {
    const peer = fed(frame(4, 1, 0), OPEN, headers(3, connectBlock(), 0));
    await peer.clock.advance(9_999);
    assert.deepEqual(peer.answer(), []);
    await peer.clock.advance(1);
    assert.deepEqual(peer.answer(), ["GOAWAY 11"]);
    assert.equal(peer.streams.get(1)?.end?.kind, "session-lost");
    const stalled = fed(frame(4, 1, 0));
    stalled.handle.take();
    stalled.handle.stalled = true;
    const pings = Array.from({ length: 5_000 }, () => ping());
    stalled.handle.feed(Buffer.concat([...pings, headers(1, connectBlock(), 0)]));
    assert.equal(stalled.handle.isPaused, true);
    await stalled.clock.advance(19_999);
    assert.equal(stalled.handle.closed, false);
  });

  it("a flood of PING that is not read: bounded output, no more reading, reset at 20 s", async () => {
    const peer = fed(frame(4, 1, 0));
    peer.handle.take();
    peer.handle.stalled = true;
    for (let i = 0; i < 100 && !peer.handle.isPaused; i++) {
      peer.handle.feed(Buffer.concat(Array.from({ length: 90 }, () => ping())));
    }
    assert.equal(peer.handle.isPaused, true);
    assert.ok(peer.handle.take().length < 100_000);
    await peer.clock.advance(20_000);
    assert.equal(peer.handle.wasReset, true);
  });

  it("PING keeps the connection, silence ends it after 10 + 20 s", async () => {
    const peer = fed(frame(4, 1, 0), OPEN);
    peer.handle.take();
    await peer.clock.advance(10_000);
    const [sent] = parseFrames(peer.handle.take());
    assert.equal(sent?.type, 6);
    peer.handle.feed(frame(6, 1, 0, sent?.payload));
    await peer.clock.advance(29_999);
    assert.equal(peer.handle.closed, false);
    await peer.clock.advance(1);
    assert.equal(peer.handle.wasReset, true);
    assert.equal(peer.streams.get(1)?.end?.kind, "session-lost");
  });
});

describe("abuse of a client", () => {
  const ok = new HpackEncoder().encode([headerField(":status", "200")]);
  const cases: readonly (readonly [string, Buffer[], string])[] = [
    ["DATA before the response", [data(1, "x")], "RST 1 1"],
    [
      "nine informational responses",
      Array.from({ length: 9 }, () => headers(1, literal(":status", "103"))),
      "RST 1 1",
    ],
    ["an informational response that ends", [headers(1, literal(":status", "103"), 5)], "RST 1 1"],
    ["no status", [headers(1, literal("a", "b"))], "RST 1 1"],
    ["a second response", [headers(1, ok), headers(1, literal(":status", "200"))], "RST 1 1"],
    ["a stream that the server opens", [headers(2, ok)], "GOAWAY 1"],
    ["a response on an idle stream", [headers(7, ok)], "GOAWAY 1"],
    ["ENABLE_PUSH 1", [settings([2, 1])], "GOAWAY 1"],
  ];
  for (const [name, parts, expected] of cases) {
    it(name, () => {
      const { handle, ends } = client();
      handle.feed(Buffer.concat(parts));
      assert.deepEqual(summary(parseFrames(handle.take())), [expected]);
      assert.equal(ends.length, 1);
    });
  }

  it("eight informational responses and a response are fine; REFUSED and GOAWAY below the id may be repeated", () => {
    const first = client();
    first.handle.feed(
      Buffer.concat([
        ...Array.from({ length: 8 }, () => headers(1, literal(":status", "103"))),
        headers(1, ok),
      ]),
    );
    assert.deepEqual(summary(parseFrames(first.handle.take())), []);
    const refused = client();
    refused.handle.feed(rst(1, 7));
    assert.deepEqual(refused.ends, [{ kind: "refused" }]);
    const away = client();
    away.handle.feed(goaway(0));
    assert.deepEqual(away.ends, [{ kind: "refused" }]);
  });

  it("keeps to the peer's windows and frame size, also when they shrink", () => {
    const { handle, stream } = client([4, 100]);
    assert.equal(stream.write(Buffer.alloc(250)), "pause");
    assert.deepEqual(summary(parseFrames(handle.take())), ["DATA 1 100"]);
    handle.feed(settings([4, 50]));
    handle.feed(windowUpdate(1, 60));
    assert.deepEqual(summary(parseFrames(handle.take())), ["DATA 1 10"]);
    stream.end();
    handle.feed(settings([4, 60_000]));
    assert.deepEqual(summary(parseFrames(handle.take())), ["DATA 1 140", "DATA 1 0", "END 1"]);
    const sized = client();
    sized.stream.write(Buffer.alloc(40_000));
    assert.deepEqual(summary(parseFrames(sized.handle.take())), [
      "DATA 1 16384",
      "DATA 1 16384",
      "DATA 1 7232",
    ]);
  });

  function client(...pairs: readonly (readonly [number, number])[]) {
    const handle = new FakeHandle();
    const ends: StreamEnd[] = [];
    const session = new Http2Session(handle, {
      role: "client",
      clock: createManualClock(),
      events: { onClose: () => undefined },
    });
    handle.feed(settings(...pairs));
    const stream = session.openStream([headerField(":method", "CONNECT"), headerField(":authority", "a:1")], {
      onHeaders: () => undefined,
      onData: () => "consumed",
      onEnd: () => undefined,
      onWritable: () => undefined,
      onReset: (end) => ends.push(end),
    });
    assert.ok(stream !== undefined);
    handle.take();
    return { handle, session, stream, ends };
  }
});

/** One large entry, indexed once and then named many times: small on the wire, large when decoded. */
function bomb(): Buffer {
  return Buffer.concat([connectBlock(), indexedEntry("b", "a".repeat(3_900)), Buffer.alloc(100, 0xbe)]);
}
