/** For any request, any mutation of a vector and any cut into reads: one verdict, and what goes upstream means the same to another parser. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, METHODS } from "node:http";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import test from "node:test";
import fc from "fast-check";
import { PoliteUpstream, Rig } from "../testing/http1-rig.ts";
import { type SeenMessage, statusOf, valueOf } from "../testing/http1-text.ts";
import { BodyReader } from "./body-reader.ts";

interface Verdict {
  readonly answers: readonly number[];
  /** Complete requests that reached the upstream. */
  readonly requests: readonly SeenMessage[];
  readonly closed: boolean;
}

async function play(pieces: readonly string[]): Promise<Verdict> {
  return (await playWithWire(pieces)).verdict;
}

async function playWithWire(
  pieces: readonly string[],
): Promise<{ readonly verdict: Verdict; readonly wires: readonly string[] }> {
  const rig = new Rig();
  const polite = new PoliteUpstream();
  const settle = async (): Promise<void> => {
    await rig.settle();
    while (rig.upstreams.some((each) => polite.answer(each))) await rig.settle();
  };
  for (const piece of pieces) {
    rig.caller.feed(Buffer.from(piece, "latin1"), 65_536);
    await settle();
  }
  await settle();
  const verdict = {
    answers: rig
      .answers()
      .map(statusOf)
      .filter((status) => status >= 200),
    requests: rig.requests,
    closed: rig.caller.isShutdown,
  };
  return { verdict, wires: rig.upstreams.map((each) => each.received) };
}

interface Parsed {
  readonly method: string;
  readonly target: string;
  readonly fields: readonly string[];
  readonly body: string;
}

/** Another implementation's reading of what went upstream: the complete requests. Rejects what it refuses. */
async function parseWithNode(text: string): Promise<readonly Parsed[]> {
  const parsed: (Parsed | undefined)[] = [];
  const server = createServer({ maxHeaderSize: 131_072 }, (request, response) => {
    const index = parsed.push(undefined) - 1;
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { rawHeaders } = request;
      const fields = rawHeaders.flatMap((each, i) => (i % 2 === 0 ? [`${each}: ${rawHeaders[i + 1]}`] : []));
      const body = Buffer.concat(chunks).toString("latin1");
      parsed[index] = { method: request.method ?? "", target: request.url ?? "", fields, body };
      response.end();
    });
    request.on("error", () => undefined);
  });
  server.maxHeadersCount = 0;
  server.on("checkContinue", (request, response) => server.emit("request", request, response));
  await new Promise<void>((resolve, reject) => {
    const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    // A request that was broken off ends in the middle, as it should.
    server.on("clientError", (error: NodeJS.ErrnoException) => {
      if (error.code === "HPE_INVALID_EOF_STATE") resolve();
      else reject(error);
    });
    socket.on("close", resolve);
    server.emit("connection", socket as Socket);
    socket.push(Buffer.from(text, "latin1"));
    socket.push(null);
    void turns(4).then(() => socket.destroy());
  });
  server.close();
  return parsed.filter((each) => each !== undefined);
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9!#$%&'*+.^`|~-]{0,11}$/);
const name = token.map((text) => `X-${text}`);
const value = fc.stringMatching(/^(?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]{0,20}[!-~\x80-\xff])?)?$/);
const target = fc.stringMatching(/^\/[!"$-~]{0,20}$/);
const method = fc.constantFrom("GET", "POST", "PUT", "DELETE", "PROPFIND", "OPTIONS");
const latin1 = (minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const body = fc.option(fc.array(latin1(1, 20), { maxLength: 4 }), {
  nil: undefined,
});

interface Sent {
  readonly method: string;
  readonly target: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly body: readonly string[] | undefined;
  readonly isChunked: boolean;
}

const sent: fc.Arbitrary<Sent> = fc.record({
  method,
  target,
  fields: fc.array(fc.tuple(name, value), { maxLength: 8 }),
  body,
  isChunked: fc.boolean(),
});

function textOf(request: Sent): string {
  const lines = request.fields
    .map(([each, text]) => `${each}:${text.length % 2 === 0 ? " \t" : ""}${text} \r\n`)
    .join("");
  const head = `${request.method} ${request.target} HTTP/1.1\r\nHost: shop.test\r\n${lines}`;
  const { body: pieces } = request;
  if (pieces === undefined) return `${head}\r\n`;
  if (!request.isChunked) return `${head}Content-Length: ${pieces.join("").length}\r\n\r\n${pieces.join("")}`;
  const chunks = pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join("");
  return `${head}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`;
}

function cut(text: string, places: readonly number[]): readonly string[] {
  const sorted = [
    0,
    ...places.map((each) => each % (text.length + 1)).toSorted((a, b) => a - b),
    text.length,
  ];
  return sorted.slice(1).map((end, i) => text.slice(sorted[i], end));
}

const places = fc.array(fc.nat(2_000), { maxLength: 6 });

test("any requests in any cut reach the upstream as they were meant, also for another parser", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(sent, { minLength: 1, maxLength: 3 }), places, async (drawn, where) => {
      // Two upstream connections may carry them: their targets tell them apart.
      const requests = drawn.map((each, i) => ({ ...each, target: `/${i}${each.target}` }));
      const { verdict, wires } = await playWithWire(cut(requests.map(textOf).join(""), where));
      assert.deepEqual(
        verdict.answers,
        requests.map(() => 200),
      );
      const parsed = (await Promise.all(wires.map(parseWithNode))).flat();
      assert.equal(parsed.length, requests.length);
      for (const request of requests) {
        const seen = parsed.find((each) => each.target === request.target);
        assert.equal(seen?.method, request.method);
        assert.equal(seen.body, request.body?.join("") ?? "");
        const expected = request.fields.map(([each, text]) => `${each.toLowerCase()}: ${text}`);
        assert.deepEqual(
          seen.fields.filter((line) => line.startsWith("x-")),
          expected,
        );
      }
    }),
    { numRuns: 300 },
  );
});

const file = new URL("testdata/vectors.json", import.meta.url);
const { vectors } = JSON.parse(readFileSync(file, "utf8")) as {
  vectors: readonly { readonly kind: string; readonly bytes?: readonly unknown[] }[];
};
const seeds = vectors
  .filter((each) => each.kind === "h1-request")
  .map((each) => (each.bytes ?? []).filter((part) => typeof part === "string").join(""));

const mutation = fc.record({
  at: fc.nat(400),
  remove: fc.nat(3),
  insert: fc.oneof(
    fc.constantFrom("\r\n", "\n", "\r", " ", "\t", "\0", ":", ";", "0", "_", ",", "\r\n\r\n", "Host: a\r\n"),
    fc.constantFrom(
      "Content-Length: 5\r\n",
      "Transfer-Encoding: chunked\r\n",
      "Connection: close\r\n",
      "GET / HTTP/1.1\r\n",
    ),
    latin1(0, 3),
  ),
});

function mutate(text: string, changes: readonly { at: number; remove: number; insert: string }[]): string {
  return changes.reduce((now, { at, remove, insert }) => {
    const place = at % (now.length + 1);
    return now.slice(0, place) + insert + now.slice(place + remove);
  }, text);
}

test("mutated vectors: one verdict in every cut, and nothing upstream that another parser refuses or counts differently", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...seeds),
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
      places,
      async (seed, changes, where) => {
        const text = mutate(seed, changes);
        const { verdict: whole, wires } = await playWithWire([text]);
        assert.deepEqual(await play(cut(text, where)), whole);
        if (text.length < 400) assert.deepEqual(await play(text.split("")), whole);
        // Broken-off ones too: an extension method is refused there before anything is compared.
        const methods = wires.flatMap((wire) => wire.match(/^[A-Z-]+(?= \S+ HTTP\/1\.1\r$)/gm) ?? []);
        const isForOther = methods.every((each) => METHODS.includes(each));
        const isUpgrade = wires.some((wire) => wire.includes("upgrade: websocket"));
        if (!isForOther || isUpgrade) return;
        const parsed = (await Promise.all(wires.map(parseWithNode))).flat();
        assert.equal(parsed.length, whole.requests.length, "another parser counts as many requests");
        assert.equal(parsed.length, whole.answers.filter((status) => status === 200).length);
      },
    ),
    { numRuns: 3_000 },
  );
});

test("a chunked body is the same in every cut and every chunking", () => {
  const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 6 });
  fc.assert(
    fc.property(pieces, places, (chunks, where) => {
      const coded = chunks.map(
        (each) => `${each.length.toString(16)}\r\n${Buffer.from(each).toString("latin1")}\r\n`,
      );
      const text = `${coded.join("")}0\r\nx: 1\r\n\r\nGET `;
      const reader = new BodyReader();
      reader.start({ kind: "marked" });
      let data = "";
      let behind = "";
      for (const piece of cut(text, where)) {
        const bytes = Buffer.from(piece, "latin1");
        let at = 0;
        while (at < bytes.length && !reader.done) {
          at = reader.read(bytes, at, bytes.length);
          assert.equal(reader.failure, undefined);
          data += bytes.toString("latin1", reader.dataStart, reader.dataEnd);
        }
        behind += bytes.toString("latin1", at);
      }
      assert.equal(data, chunks.map((each) => Buffer.from(each).toString("latin1")).join(""));
      assert.deepEqual([reader.done, behind, reader.trailers], [true, "GET ", [{ name: "x", value: "1" }]]);
    }),
    { numRuns: 1_000 },
  );
});

test("any answer of an upstream gives the caller whole, well-formed messages or a cut connection", async () => {
  const line = fc.oneof(
    fc.constantFrom(
      "Content-Length: 2",
      "Content-Length: 5",
      "Transfer-Encoding: chunked",
      "Connection: close",
      "X: y",
    ),
    fc.stringMatching(/^[\x20-\x7e]{0,12}$/),
  );
  const status = fc.constantFrom("100", "103", "101", "200", "204", "304", "99", "600", "2x0");
  const answer = fc.tuple(status, fc.array(line, { maxLength: 3 }), latin1(0, 12));
  await fc.assert(
    fc.asyncProperty(
      fc.array(answer, { minLength: 1, maxLength: 2 }),
      places,
      fc.boolean(),
      async (answers, where, fin) => {
        const text = answers
          .map(([code, lines, rest]) => [`HTTP/1.1 ${code} X`, ...lines, "", rest].join("\r\n"))
          .join("");
        const rig = new Rig();
        await rig.send("GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n");
        for (const piece of cut(text, where)) {
          rig.upstreams[0]?.handle.feed(Buffer.from(piece, "latin1"));
          await rig.settle();
        }
        if (fin) rig.upstreams[0]?.handle.end();
        await rig.settle();
        const finals = rig.answers().filter((each) => statusOf(each) >= 200);
        assert.ok(finals.length <= 1, "one request, one answer");
        for (const each of rig.answers()) {
          const isBoth =
            valueOf(each, "content-length") !== undefined && valueOf(each, "transfer-encoding") !== undefined;
          assert.ok(!isBoth);
          assert.ok(statusOf(each) !== 101);
        }
      },
    ),
    { numRuns: 1_500 },
  );
});
