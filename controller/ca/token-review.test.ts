import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { KubeClient, KubeRequest } from "#core/k8s/kube-client.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { createManualClock, type ManualClock } from "#core/testing/manual-clock.ts";
import { parseTokenShape } from "./jwt-shape.ts";
import { RateLimit } from "./rate-limit.ts";
import { readReview } from "./reviewed-token.ts";
import { TokenReviews } from "./token-review.ts";

const AUDIENCES = ["istio-ca"];
const good = {
  status: {
    authenticated: true,
    audiences: AUDIENCES,
    user: {
      username: "system:serviceaccount:ns:sa",
      uid: "u",
      extra: {
        "authentication.kubernetes.io/pod-name": ["p"],
        "authentication.kubernetes.io/pod-uid": ["pu"],
        "authentication.kubernetes.io/node-name": ["n"],
      },
    },
  },
};

function setUp(answer: (request: KubeRequest) => unknown): {
  reviews: TokenReviews;
  clock: ManualClock;
  asked: () => number;
} {
  const clock = createManualClock();
  let asked = 0;
  const client = {
    json: async (request: KubeRequest) => {
      asked++;
      return answer(request);
    },
  } as unknown as KubeClient;
  const reviews = new TokenReviews({ client, clock, log: silentLogger, audiences: AUDIENCES });
  return { reviews, clock, asked: () => asked };
}

const away = (): never => {
  throw new AmbitError("KUBE_UNREACHABLE", "away", { retryable: true });
};

test("a good answer is kept for a minute, and never beyond the token's end", async () => {
  const { reviews, clock, asked } = setUp(() => good);
  const endMs = clock.nowMs() + 90_000;
  await reviews.review("t", endMs);
  await clock.advance(59_999);
  await reviews.review("t", endMs);
  assert.equal(asked(), 1);
  await clock.advance(2);
  await reviews.review("t", endMs);
  assert.equal(asked(), 2);
  await clock.advance(30_000);
  await reviews.review("t", endMs);
  assert.equal(asked(), 3, "expired before its minute was over");
});

test("a bad answer is kept for five seconds", async () => {
  const { reviews, clock, asked } = setUp(() => ({ status: { authenticated: false } }));
  const endMs = clock.nowMs() + 3_600_000;
  assert.equal((await reviews.review("t", endMs)).ok, false);
  await clock.advance(4_999);
  await reviews.review("t", endMs);
  assert.equal(asked(), 1);
  await clock.advance(2);
  await reviews.review("t", endMs);
  assert.equal(asked(), 2);
});

test("with the API away a known token stays good until its own end; an unknown one is not decided", async () => {
  let answer: () => unknown = () => good;
  const { reviews, clock } = setUp(() => answer());
  const endMs = clock.nowMs() + 600_000;
  await reviews.review("t", endMs);
  answer = away;
  await clock.advance(300_000);
  assert.equal((await reviews.review("t", endMs)).ok, true);
  await assert.rejects(reviews.review("other", endMs), { code: "TOKEN_REVIEW_UNAVAILABLE" });
  await clock.advance(300_001);
  await assert.rejects(reviews.review("t", endMs), { code: "TOKEN_REVIEW_UNAVAILABLE" });
});

test("sixteen reviews are open at most, and one per token", async () => {
  const gate = Promise.withResolvers<unknown>();
  const { reviews, asked } = setUp(() => gate.promise);
  const endMs = Date.UTC(2030, 0, 1);
  const open = Array.from({ length: 16 }, (_, i) => reviews.review(`t${i}`, endMs));
  const same = reviews.review("t0", endMs);
  await assert.rejects(reviews.review("t16", endMs), { code: "TOKEN_REVIEW_UNAVAILABLE" });
  gate.resolve(good);
  await Promise.all([...open, same]);
  assert.equal(asked(), 16);
});

test("reviews are read strictly", () => {
  const user = good.status.user;
  const change = (part: object): unknown => ({ status: { ...good.status, ...part } });
  const without = (key: string): unknown =>
    change({ user: { ...user, extra: { ...user.extra, [key]: undefined } } });
  const wrong: readonly unknown[] = [
    undefined,
    {},
    change({ authenticated: "true" }),
    change({ audiences: [] }),
    change({ audiences: ["other"] }),
    change({ user: { ...user, username: "system:serviceaccount:ns" } }),
    change({ user: { ...user, username: "system:serviceaccount:ns:sa:x" } }),
    change({ user: { ...user, username: "system:node:n" } }),
    without("authentication.kubernetes.io/pod-name"),
    without("authentication.kubernetes.io/pod-uid"),
    without("authentication.kubernetes.io/node-name"),
  ];
  for (const raw of wrong) assert.equal(readReview(raw, AUDIENCES).ok, false, JSON.stringify(raw));
  assert.equal(readReview(good, AUDIENCES).ok, true);
});

test("the shape of any text as a token is judged without throwing", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.base64String().map((s) => `a.${s}.b`),
        fc.json().map((j) => `a.${Buffer.from(j).toString("base64url")}.b`),
      ),
      (text) => {
        assert.equal(parseTokenShape(text, AUDIENCES, 0).ok, false);
      },
    ),
    { numRuns: 2_000 },
  );
});

test("a bucket gives its burst, then its rate, each key its own", () => {
  let nowMs = 0;
  const limit = new RateLimit({ perSecond: 2, burst: 3 }, () => nowMs);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => limit.take("a")),
    [true, true, true, false],
  );
  assert.equal(limit.take("b"), true);
  nowMs = 500;
  assert.deepEqual([limit.take("a"), limit.take("a")], [true, false]);
});
