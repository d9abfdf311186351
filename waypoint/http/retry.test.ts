import assert from "node:assert/strict";
import { test } from "node:test";
import type { BodyFraming, RequestHead } from "#core/http/message.ts";
import { type RetryPlan, retryDelayMs, shouldRetry, type Trouble } from "./retry.ts";

const lost = (afterHead: boolean, wasUsed: boolean): Trouble => ({
  kind: "failed",
  failure: { kind: "lost", reason: "x", afterHead },
  wasUsed,
});
const UNSENT: Trouble = { kind: "failed", failure: { kind: "unsent", reason: "x" }, wasUsed: true };
const BAD: Trouble = {
  kind: "failed",
  failure: { kind: "bad-answer", reason: "x", afterHead: false },
  wasUsed: true,
};
const notConnected = (reason: Extract<Trouble, { kind: "not-connected" }>["reason"]): Trouble => ({
  kind: "not-connected",
  reason,
});

interface Case {
  readonly name: string;
  readonly trouble: Trouble;
  readonly method?: string;
  readonly body?: BodyFraming;
  readonly attempts?: number;
  readonly upgrade?: "websocket";
  readonly expect: RetryPlan;
}

const CASES: readonly Case[] = [
  { name: "a denial by the destination", trouble: notConnected("upstream-refused"), expect: "no" },
  { name: "too many connections", trouble: notConnected("upstream-overflow"), expect: "no" },
  { name: "an endpoint out of reach", trouble: notConnected("upstream-unreachable"), expect: "elsewhere" },
  { name: "somebody else at the address", trouble: notConnected("upstream-identity"), expect: "elsewhere" },
  {
    name: "an endpoint out of reach, for the third time",
    trouble: notConnected("upstream-unreachable"),
    attempts: 3,
    expect: "no",
  },
  { name: "a POST of which nothing was sent", trouble: UNSENT, method: "POST", expect: "again" },
  { name: "a POST that was sent", trouble: lost(false, true), method: "POST", expect: "no" },
  { name: "a GET on a connection that had served", trouble: lost(false, true), expect: "again" },
  { name: "a GET on a fresh connection", trouble: lost(false, false), expect: "no" },
  { name: "a GET whose answer had begun", trouble: lost(true, true), expect: "no" },
  {
    name: "a GET with a body",
    trouble: lost(false, true),
    body: { kind: "length", bytes: 1 },
    expect: "no",
  },
  { name: "an upgrade", trouble: lost(false, true), upgrade: "websocket", expect: "no" },
  { name: "an answer that breaks the rules", trouble: BAD, expect: "no" },
];

for (const { name, trouble, method = "GET", body, attempts = 1, upgrade, expect } of CASES) {
  test(`${name}: ${expect}`, () => {
    const head: RequestHead = {
      version: "1.1",
      method,
      target: "/",
      authority: "a",
      scheme: "http",
      fields: [],
      body: body ?? { kind: "none" },
      upgrade,
      expectsContinue: false,
    };
    assert.equal(shouldRetry({ attempts, head }, trouble), expect);
  });
}

test("elsewhere waits longer each time, again does not wait", () => {
  assert.equal(retryDelayMs(1, "again", 0.5), 0);
  assert.equal(retryDelayMs(1, "elsewhere", 0.5), 25);
  assert.equal(retryDelayMs(2, "elsewhere", 0.5), 50);
  assert.ok(retryDelayMs(2, "elsewhere", 0) < 50);
});
