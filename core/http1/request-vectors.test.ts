/** The vectors of testdata: a caller and an upstream with a forwarder between the two sides of this engine. Each whole, split in two, byte by byte. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { PoliteUpstream, Rig } from "../testing/http1-rig.ts";
import { type SeenMessage, statusOf, valueOf } from "../testing/http1-text.ts";

type Part = string | { readonly repeat: string; readonly count: number };

interface ExpectedRequest {
  readonly method: string;
  readonly target: string;
  readonly host?: string;
  readonly hostIn?: readonly string[];
  readonly body?: string;
  readonly version?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly lines?: readonly (readonly [string, string])[];
  readonly absent?: readonly string[];
  readonly noTrailer?: string;
}

interface Expected {
  readonly verdict: "refuse" | "forward" | "abort";
  readonly status: readonly number[];
  readonly close?: boolean;
  readonly upstream?: readonly ExpectedRequest[];
  readonly alsoUpstream?: readonly ExpectedRequest[];
  readonly or?: Expected;
}

interface RequestVector {
  readonly id: string;
  readonly kind: "h1-request";
  readonly name: string;
  readonly bytes: readonly Part[];
  readonly policy?: string;
  readonly expect: Expected;
}

const file = new URL("testdata/vectors.json", import.meta.url);
const { vectors } = JSON.parse(readFileSync(file, "utf8")) as {
  vectors: readonly { readonly kind: string }[];
};
const requests = vectors.filter((each): each is RequestVector => each.kind === "h1-request");

function textOf(parts: readonly Part[]): string {
  return parts.map((part) => (typeof part === "string" ? part : part.repeat.repeat(part.count))).join("");
}

interface Outcome {
  readonly answers: readonly SeenMessage[];
  readonly upstream: readonly SeenMessage[];
  readonly closed: boolean;
  readonly cut: boolean;
  readonly wire: string;
}

async function play(pieces: readonly string[]): Promise<Outcome> {
  const rig = new Rig({
    denies: (head) => head.fields.some((f) => f.name === "x-user" && f.value === "bad"),
  });
  const polite = new PoliteUpstream();
  const answerAll = async (): Promise<void> => {
    await rig.settle();
    while (rig.upstreams.some((each) => polite.answer(each))) await rig.settle();
  };
  for (const piece of pieces) {
    rig.caller.feed(Buffer.from(piece, "latin1"), 65_536);
    if (pieces.length < 1_000) await answerAll();
  }
  await answerAll();
  return {
    answers: rig.answers(),
    upstream: rig.requests,
    closed: rig.caller.isShutdown && !rig.caller.wasReset,
    cut: rig.upstreams.every((each) => each.received === "" || each.isCut || each.requests.length > 0),
    wire: rig.upstreams.map((each) => each.received).join(""),
  };
}

function check(outcome: Outcome, expected: Expected): void {
  const finals = outcome.answers.map(statusOf).filter((status) => status >= 200);
  checkUpstream(outcome, expected);
  if (expected.verdict === "forward") assert.deepEqual(finals, wanted(outcome, expected));
  else {
    assert.equal(finals.length, (expected.upstream?.length ?? 0) + 1, `answers ${finals.join(" ")}`);
    const isSequence = expected.status.length === finals.length && finals.length > 1;
    if (isSequence) assert.deepEqual(finals, expected.status);
    else assert.ok(expected.status.includes(finals.at(-1) ?? 0), `answered ${finals.join(" ")}`);
  }
  if (expected.close === true) assert.ok(outcome.closed, "closed with time to read the answer");
}

function wanted(outcome: Outcome, expected: Expected): readonly number[] {
  const isOther =
    expected.alsoUpstream !== undefined && outcome.upstream.length === expected.alsoUpstream.length;
  return isOther ? outcome.upstream.map(() => 200) : expected.status;
}

function checkUpstream(outcome: Outcome, expected: Expected): void {
  const list = expected.upstream ?? [];
  const other = expected.alsoUpstream;
  const upstream = other !== undefined && outcome.upstream.length === other.length ? other : list;
  assert.equal(outcome.upstream.length, upstream.length, `upstream saw ${outcome.wire.slice(0, 300)}`);
  upstream.forEach((each, i) => checkRequest(outcome.upstream[i] as SeenMessage, each));
  assert.ok(outcome.cut, "a request that was broken off never looks complete");
}

function checkRequest(seen: SeenMessage, expected: ExpectedRequest): void {
  assert.equal(seen.startLine, `${expected.method} ${expected.target} ${expected.version ?? "HTTP/1.1"}`);
  const host = valueOf(seen, "host");
  if (expected.hostIn === undefined) assert.equal(host, expected.host);
  else assert.ok(expected.hostIn.includes(host ?? ""));
  if (expected.body !== undefined) assert.equal(seen.body, expected.body);
  checkFields(seen, expected);
}

function checkFields(seen: SeenMessage, expected: ExpectedRequest): void {
  for (const [name, value] of Object.entries(expected.headers ?? {}))
    assert.equal(valueOf(seen, name), value, name);
  const neighbours = valueOf(seen, "upgrade") === "websocket" ? [] : ["connection", "upgrade"];
  for (const name of [...(expected.absent ?? []), ...neighbours, "keep-alive", "te", "proxy-authorization"])
    assert.equal(valueOf(seen, name), undefined, name);
  for (const [name, value] of expected.lines ?? [])
    assert.ok(
      seen.lines.some((line) => line[0] === name && line[1] === value),
      `${name}: ${value}`,
    );
  for (const trailer of seen.trailers) assert.ok(!trailer.startsWith(`${expected.noTrailer}:`));
}

function checkEither(outcome: Outcome, expected: Expected): void {
  if (expected.or === undefined) return check(outcome, expected);
  try {
    check(outcome, expected);
  } catch {
    check(outcome, expected.or);
  }
}

/** Every place for short ones, a sample for long ones. */
function splits(text: string): readonly number[] {
  const step = Math.max(1, Math.floor(text.length / 160));
  const places: number[] = [];
  for (let at = 1; at < text.length; at += step) places.push(at);
  return places;
}

for (const vector of requests) {
  const text = textOf(vector.bytes);
  test(`${vector.id} ${vector.name}: whole`, async () => {
    checkEither(await play([text]), vector.expect);
  });
  test(`${vector.id} ${vector.name}: split in two`, async () => {
    for (const at of splits(text)) {
      try {
        checkEither(await play([text.slice(0, at), text.slice(at)]), vector.expect);
      } catch (error) {
        throw new Error(`split at ${at}`, { cause: error });
      }
    }
  });
  test(`${vector.id} ${vector.name}: byte by byte`, async () => {
    checkEither(await play(text.split("")), vector.expect);
  });
}

test("all request vectors were played", () => assert.equal(requests.length, 259));
