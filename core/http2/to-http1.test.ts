/**
 * The vectors of requests on their way to an upstream that speaks HTTP/1.1: what it reads off the wire is what was
 * judged, nothing else ever looks like a request, and what was aborted never looks complete.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeHandle } from "../testing/fake-handle.ts";
import { PoliteUpstream, Upstream } from "../testing/http1-rig.ts";
import { type SeenMessage, valueOf } from "../testing/http1-text.ts";
import { Forwarder } from "../testing/http-forwarder.ts";
import { bytesOf, type Expected, type UpstreamRequest, vectors } from "../testing/http2-vectors.ts";
import { createManualClock, settle } from "../testing/manual-clock.ts";
import { framesOf, headerLists } from "../testing/request-server.ts";
import { Http2ServerConnection } from "./server-connection.ts";

interface Outcome {
  readonly requests: readonly SeenMessage[];
  /** Bytes that are no complete request, on a connection that was not cut. */
  readonly hasDangling: boolean;
  readonly answers: readonly string[];
}

async function play(bytes: Buffer, pieceBytes: number): Promise<Outcome> {
  const caller = new FakeHandle();
  const clock = createManualClock();
  const upstreams: Upstream[] = [];
  const forwarder = new Forwarder({
    connect: () => {
      const upstream = new Upstream(() => undefined, clock);
      upstreams.push(upstream);
      return upstream.connection;
    },
  });
  new Http2ServerConnection(caller, { events: forwarder, clock });
  caller.feed(bytes, pieceBytes);
  const polite = new PoliteUpstream();
  for (let isMoving = true; isMoving;) {
    await settle();
    for (const upstream of upstreams) upstream.take();
    isMoving = upstreams.some((upstream) => polite.answer(upstream));
  }
  const answers = headerLists(await framesOf(caller));
  caller.drop();
  await settle();
  for (const upstream of upstreams) upstream.take();
  return {
    requests: upstreams.flatMap((upstream) => upstream.requests),
    hasDangling: upstreams.some((each) => each.requests.length === 0 && each.received !== "" && !each.isCut),
    answers,
  };
}

function problem(got: Outcome, expected: Expected): string | undefined {
  const own = ownProblem(got, expected);
  if (own === undefined || expected.or === undefined) return own;
  return ownProblem(got, expected.or) === undefined ? undefined : own;
}

function ownProblem({ requests, hasDangling, answers }: Outcome, expected: Expected): string | undefined {
  const { upstream = [] } = expected;
  if (hasDangling) return "part of a request stayed upstream";
  if (requests.length !== upstream.length) return `${requests.length} requests came through`;
  const wrong = upstream.map((wanted, i) => requestProblem(requests[i] as SeenMessage, wanted));
  const isAnswered = answers.some((list) => list.startsWith(":status=200"));
  if (isAnswered !== (expected.verdict === "forward")) return `answers ${answers.join()}`;
  return wrong.find((each) => each !== undefined);
}

function requestProblem(request: SeenMessage, wanted: UpstreamRequest): string | undefined {
  const host = valueOf(request, "host") ?? "";
  const names = request.lines.map(([name]) => name);
  const checks: readonly (readonly [string, boolean])[] = [
    [request.startLine, request.startLine === `${wanted.method} ${wanted.target} HTTP/1.1`],
    [`host ${host}`, [wanted.host, ...(wanted.hostIn ?? [])].includes(host)],
    [`body ${request.body}`, wanted.body === undefined || request.body === wanted.body],
    ["a field twice", new Set(names).size === names.length],
    [
      "another value",
      Object.entries(wanted.headers ?? {}).every(([name, text]) => valueOf(request, name) === text),
    ],
    ["a field that must not be there", (wanted.absent ?? []).every((name) => !names.includes(name))],
    ["its trailer", request.trailers.every((line) => !line.startsWith(`${wanted.noTrailer}:`))],
  ];
  return checks.find(([, isRight]) => !isRight)?.[0];
}

const requests = vectors.filter(({ kind }) => kind === "h2-request");

test("every vector of a request goes this way", () => assert.equal(requests.length, 105));

for (const vector of requests) {
  test(`${vector.id} ${vector.name}`, async () => {
    const bytes = bytesOf(vector);
    for (const pieceBytes of [bytes.length, 7, 1])
      assert.equal(
        problem(await play(bytes, pieceBytes), vector.expect),
        undefined,
        `in pieces of ${pieceBytes}`,
      );
  });
}
