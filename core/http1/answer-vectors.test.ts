/** The h1-response vectors of testdata: what an upstream may answer, and what of it reaches a caller. Each whole, split in two, byte by byte. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { Rig } from "../testing/http1-rig.ts";
import { readMessages, type SeenMessage, statusOf, valueOf } from "../testing/http1-text.ts";

type Part = string | { readonly repeat: string; readonly count: number };

interface AnswerVector {
  readonly id: string;
  readonly kind: "h1-response";
  readonly name: string;
  readonly request: string;
  readonly bytes: readonly Part[];
  readonly fin: boolean;
  readonly expect: {
    readonly verdict: "refuse" | "forward" | "abort";
    readonly status: readonly number[];
    readonly body?: string;
    readonly upstreamReuse?: boolean;
    readonly never?: string;
    readonly absent?: readonly string[];
    readonly lines?: readonly (readonly [string, string])[];
    readonly no1xx?: boolean;
  };
}

const file = new URL("testdata/vectors.json", import.meta.url);
const { vectors } = JSON.parse(readFileSync(file, "utf8")) as {
  vectors: readonly { readonly kind: string }[];
};
const answers = vectors.filter((each): each is AnswerVector => each.kind === "h1-response");

function textOf(parts: readonly Part[]): string {
  return parts.map((part) => (typeof part === "string" ? part : part.repeat.repeat(part.count))).join("");
}

interface Outcome {
  /** What the caller read. */
  readonly text: string;
  readonly messages: readonly SeenMessage[];
  readonly rest: string;
  readonly ended: "open" | "shutdown" | "reset";
  readonly wasReused: boolean;
}

async function play(vector: AnswerVector, pieces: readonly string[]): Promise<Outcome> {
  const first = new Rig();
  await first.send(vector.request);
  const upstream = first.upstreams[0];
  assert.ok(upstream !== undefined, "the request went upstream");
  for (const piece of pieces) {
    upstream.handle.feed(Buffer.from(piece, "latin1"), 65_536);
    if (pieces.length < 1_000) await first.settle();
  }
  await first.settle();
  if (vector.fin) upstream.handle.end();
  await first.settle();
  // What did not come is lost with the connection.
  const isComplete = readMessages(first.answered).messages.some((each) => statusOf(each) >= 200);
  if (!isComplete) upstream.handle.drop();
  await new Promise((resolve) => setImmediate(resolve));
  await first.settle();
  const second = new Rig({}, first.upstreams);
  await second.send("GET /api/second HTTP/1.1\r\nHost: shop.test\r\n\r\n");
  const isHead = vector.request.startsWith("HEAD ");
  const ended = first.caller.wasReset ? "reset" : first.caller.isShutdown ? "shutdown" : "open";
  const seen = readMessages(first.answered, { ended: ended === "shutdown", bodiless: () => isHead });
  const wasReused = upstream.requests.some((each) => each.startLine.includes("/api/second"));
  return { text: first.answered, messages: seen.messages, rest: seen.rest, ended, wasReused };
}

function check(outcome: Outcome, { expect }: AnswerVector): void {
  const finals = outcome.messages.filter((each) => statusOf(each) >= 200);
  if (expect.never !== undefined)
    assert.ok(!outcome.text.includes(expect.never), "poison reached the caller");
  if (expect.upstreamReuse !== undefined) assert.equal(outcome.wasReused, expect.upstreamReuse, "reused");
  if (expect.verdict === "abort") {
    checkAbort(outcome, expect.status);
    return;
  }
  const answer = finals[0];
  assert.ok(answer !== undefined && finals.length === 1, `one answer, not ${outcome.text.slice(0, 200)}`);
  assert.ok(expect.status.includes(statusOf(answer)), `answered ${statusOf(answer)}`);
  if (expect.no1xx === true) assert.equal(outcome.messages.length, 1);
  if (expect.verdict === "forward") checkForwarded(answer, outcome, expect);
}

function checkForwarded(answer: SeenMessage, outcome: Outcome, expect: AnswerVector["expect"]): void {
  if (expect.body !== undefined) assert.equal(answer.body, expect.body);
  for (const name of expect.absent ?? []) assert.equal(valueOf(answer, name), undefined, name);
  const lines = answer.lines.filter(([name]) => (expect.lines ?? []).some(([each]) => each === name));
  assert.deepEqual(lines, expect.lines ?? []);
  assert.equal(outcome.rest, "");
}

/** Visibly incomplete, and the connection cut; or another status before anything was passed on. */
function checkAbort(outcome: Outcome, status: readonly number[]): void {
  const finals = outcome.messages.filter((each) => statusOf(each) >= 200);
  if (finals.length === 0) {
    assert.match(outcome.rest, /^HTTP\/1\.1 200 /);
    assert.equal(outcome.ended, "reset");
    return;
  }
  assert.equal(statusOf(finals[0] as SeenMessage), 502);
  assert.ok(status.includes(502));
}

for (const vector of answers) {
  const text = textOf(vector.bytes);
  test(`${vector.id} ${vector.name}: whole`, async () => check(await play(vector, [text]), vector));
  test(`${vector.id} ${vector.name}: split in two`, async () => {
    const step = Math.max(1, Math.floor(text.length / 160));
    for (let at = 1; at < text.length; at += step) {
      try {
        check(await play(vector, [text.slice(0, at), text.slice(at)]), vector);
      } catch (error) {
        throw new Error(`split at ${at}`, { cause: error });
      }
    }
  });
  test(`${vector.id} ${vector.name}: byte by byte`, async () => {
    check(await play(vector, text.split("")), vector);
  });
}

test("all answer vectors were played", () => assert.equal(answers.length, 51));
