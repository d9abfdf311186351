/** The vectors of HTTP/2, each whole, cut in two at every byte, and byte by byte: one verdict, however it arrives. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Frame } from "../testing/frames.ts";
import { bytesOf, type Expected, type UpstreamRequest, vectors } from "../testing/http2-vectors.ts";
import {
  answerOk,
  rawRequestServer,
  type RequestServer,
  type SeenRequest,
} from "../testing/request-server.ts";
import { firstValue } from "./hpack/header-field.ts";
import { HpackDecoder } from "./hpack/decoder.ts";

/** Every byte of what is no flood. */
const cutsOf = (byteCount: number): number => (byteCount > 2_000 ? 8 : byteCount);

interface Outcome {
  readonly seen: readonly SeenRequest[];
  readonly statuses: readonly number[];
  readonly resets: readonly number[];
  readonly goaways: readonly number[];
}

async function run(reads: Iterable<Uint8Array>): Promise<Outcome> {
  const server: RequestServer = rawRequestServer();
  for (const read of reads) server.handle.feed(read);
  // An upstream takes its time.
  for (const request of server.seen) if (request.end === "complete") answerOk(request);
  const frames = await server.frames();
  server.handle.drop();
  return outcome(server.seen, frames);
}

function outcome(seen: readonly SeenRequest[], frames: readonly Frame[]): Outcome {
  const decoder = new HpackDecoder({ maxListBytes: 65_536 });
  const statuses = frames.flatMap(({ type, payload }) => {
    if (type !== 1) return [];
    const decoded = decoder.decode(payload);
    return decoded.kind === "headers" ? [Number(firstValue(decoded.fields, ":status"))] : [];
  });
  const codes = (type: number, at: number): number[] =>
    frames.flatMap((frame) => (frame.type === type ? [frame.payload.readUInt32BE(at)] : []));
  return { seen, statuses, resets: codes(3, 0), goaways: codes(7, 4) };
}

/** Undefined: as it should be. */
function problem(got: Outcome, expected: Expected): string | undefined {
  const own = verdictProblem(got, expected) ?? upstreamProblem(got.seen, expected);
  if (own === undefined || expected.or === undefined) return own;
  return problem(got, expected.or) === undefined ? undefined : own;
}

function verdictProblem(got: Outcome, expected: Expected): string | undefined {
  return hasVerdict(got, expected) ? undefined : JSON.stringify({ ...got, seen: got.seen.length });
}

function hasVerdict(got: Outcome, { verdict, status = [], codes = [] }: Expected): boolean {
  const isGoaway = got.goaways.some((code) => codes.length === 0 || codes.includes(code));
  switch (verdict) {
    case "forward":
      return got.statuses.join() === status.join() && got.goaways.length === 0;
    case "goaway":
      return isGoaway;
    case "reset":
      return isReset(got) || got.goaways.some((code) => code !== 0);
    case "reset-or-goaway":
      return isReset(got) || isGoaway;
  }
}

function isReset({ resets, statuses }: Outcome): boolean {
  return resets.some((code) => code !== 0) || statuses.some(isRefusing);
}

function isRefusing(status: number): boolean {
  return (status >= 400 && status < 500) || status === 501;
}

function upstreamProblem(seen: readonly SeenRequest[], expected: Expected): string | undefined {
  const { upstream, upstreamMax } = expected;
  if (upstreamMax !== undefined) return seen.length <= upstreamMax ? undefined : `${seen.length} requests`;
  if (upstream === undefined) return "the vector says nothing about the upstream";
  if (upstream.length === 0) return seen.some(looksComplete) ? "a complete request came through" : undefined;
  if (upstream.length !== seen.length) return `${seen.length} requests came through`;
  for (const [i, wanted] of upstream.entries()) {
    const different = requestProblem(seen[i] as SeenRequest, wanted);
    if (different !== undefined) return different;
  }
  return undefined;
}

/** What HTTP/1.1 would make of it: a request that shows all announced octets is complete whatever comes later. */
function looksComplete({ end, body, exchange }: SeenRequest): boolean {
  const framing = exchange.head.body;
  return (
    end === "complete" ||
    (framing.kind === "length" && body.length >= framing.bytes) ||
    framing.kind === "none"
  );
}

function requestProblem(request: SeenRequest, wanted: UpstreamRequest): string | undefined {
  const { head } = request.exchange;
  const value = (name: string): string =>
    head.fields.flatMap((field) => (field.name === name ? [field.value] : [])).join("|");
  const hosts = [wanted.host, ...(wanted.hostIn ?? [])];
  const checks: readonly (readonly [string, boolean])[] = [
    ["it is not complete", request.end === "complete"],
    [`method ${head.method}`, head.method === wanted.method],
    [`target ${head.target}`, head.target === wanted.target],
    [`host ${head.authority}`, hosts.includes(head.authority)],
    [`body ${request.body}`, wanted.body === undefined || request.body === wanted.body],
    [
      "another field value",
      Object.entries(wanted.headers ?? {}).every(([name, text]) => value(name) === text),
    ],
    ["a field that must not be there", (wanted.absent ?? []).every((name) => value(name) === "")],
    ["its trailer", request.trailers.every(({ name }) => name !== wanted.noTrailer)],
  ];
  return checks.find(([, isRight]) => !isRight)?.[0];
}

function* byteByByte(bytes: Buffer): Iterable<Uint8Array> {
  for (let i = 0; i < bytes.length; i++) yield bytes.subarray(i, i + 1);
}

test("all vectors are there, and none is left out", () => {
  const count = (kind: string): number => vectors.filter((vector) => vector.kind === kind).length;
  assert.deepEqual([count("h2-request"), count("h2-frames"), vectors.length], [105, 21, 126]);
});

for (const kind of ["h2-request", "h2-frames"] as const) {
  describe(kind, () => {
    for (const vector of vectors.filter((each) => each.kind === kind)) {
      test(`${vector.id} ${vector.name}`, async () => {
        const bytes = bytesOf(vector);
        assert.equal(problem(await run([bytes]), vector.expect), undefined, "whole");
        const step = Math.floor(bytes.length / cutsOf(bytes.length));
        for (let at = 1; at < bytes.length; at += step) {
          const reads = [bytes.subarray(0, at), bytes.subarray(at)];
          assert.equal(problem(await run(reads), vector.expect), undefined, `cut at ${at}`);
        }
        assert.equal(problem(await run(byteByByte(bytes)), vector.expect), undefined, "byte by byte");
      });
    }
  });
}
