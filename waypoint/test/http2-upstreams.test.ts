/** Applications that speak HTTP/2 and give up in the middle: what was sent in part is never taken for whole, what nobody acted on is sent again. */
import assert from "node:assert/strict";
import { constants, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { eventually } from "./apps.ts";
import { FRONTEND, limits } from "./catalog.ts";
import type { HttpCaller } from "./http-caller.ts";
import { TestWaypoint } from "./test-waypoint.ts";

interface SeenStream {
  readonly stream: ServerHttp2Stream;
  body: string;
  isComplete: boolean;
  isClosed: boolean;
}

/** The application does what `onBody` says, after each piece of a body. */
async function withApplication(
  onBody: (seen: SeenStream, index: number) => void,
  work: (caller: HttpCaller, streams: readonly SeenStream[], waypoint: TestWaypoint) => Promise<void>,
): Promise<void> {
  const waypoint = await TestWaypoint.start();
  const address = waypoint.freshIp();
  const streams: SeenStream[] = [];
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream) => {
    const seen: SeenStream = { stream, body: "", isComplete: false, isClosed: false };
    const index = streams.push(seen) - 1;
    stream.on("error", () => undefined);
    stream.on("close", () => (seen.isClosed = true));
    stream.on("data", (chunk: Buffer) => {
      seen.body += chunk.toString("latin1");
      onBody(seen, index);
    });
    stream.on("end", () => {
      seen.isComplete = stream.rstCode === constants.NGHTTP2_NO_ERROR && !stream.aborted;
      if (!stream.headersSent && !stream.destroyed) stream.respond({ ":status": 200 }, { endStream: true });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  try {
    const pod = await waypoint.pod("http2", (server.address() as AddressInfo).port, { addresses: [address] });
    const service = waypoint.bind({ name: "http2", pods: [pod], protocol: "http2" });
    await work(await waypoint.http(FRONTEND, service.address), streams, waypoint);
    assert.deepEqual(waypoint.problems(), []);
  } finally {
    await waypoint.close();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

const CHUNKED = "POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;

test("an answer before the request was complete gives up the request", limits, () =>
  withApplication(
    ({ stream }) => {
      if (!stream.headersSent) stream.respond({ ":status": 413 }, { endStream: true });
    },
    async (caller, streams) => {
      caller.send(CHUNKED + chunk("hello"));
      assert.equal((await caller.answer()).status, 413);
      await eventually("the request is given up", () => streams[0]?.isClosed);
      caller.send(`${chunk("GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n")}0\r\n\r\n`);
      assert.equal(await caller.ended(), "end");
      assert.equal(streams.length, 1);
      assert.deepEqual([streams[0]?.body, streams[0]?.isComplete], ["hello", false]);
    },
  ),
);

test("a long request that was refused in the middle is not sent again without its beginning", limits, () =>
  withApplication(
    ({ stream, body }, index) => {
      if (index === 0 && body.length > 90_000) stream.close(constants.NGHTTP2_REFUSED_STREAM);
    },
    async (caller, streams, waypoint) => {
      caller.send(CHUNKED + chunk("x".repeat(100_000)));
      await eventually("it is refused", () => streams[0]?.isClosed);
      caller.send(`${chunk("the end")}0\r\n\r\n`);
      assert.equal((await caller.answer()).status, 503);
      assert.equal(streams.length, 1);
      assert.equal(streams[0]?.isComplete, false);
      assert.equal(waypoint.access()[0]?.["reason"], "upstream-lost");
    },
  ),
);

test("a short one is sent again, whole", limits, () =>
  withApplication(
    ({ stream, body }, index) => {
      if (index === 0 && body === "begin") stream.close(constants.NGHTTP2_REFUSED_STREAM);
    },
    async (caller, streams, waypoint) => {
      caller.send(CHUNKED + chunk("begin"));
      await eventually("it is sent again", () => streams[1]?.body === "begin");
      caller.send(`${chunk("-end")}0\r\n\r\n`);
      assert.equal((await caller.answer()).status, 200);
      assert.deepEqual(
        streams.map(({ body, isComplete }) => [body, isComplete]),
        [
          ["begin", false],
          ["begin-end", true],
        ],
      );
      assert.equal(waypoint.access()[0]?.["retries"], 1);
    },
  ),
);
