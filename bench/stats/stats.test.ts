import assert from "node:assert/strict";
import { test } from "node:test";
import type { Sample } from "../l4/sample.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { median, ratioTo, rowsOf } from "./summarize-samples.ts";

test("median of none, one, odd and even numbers of values, in any order", () => {
  assert.ok(Number.isNaN(median([])));
  assert.equal(median([7]), 7);
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([10, 2, 4, 8]), 6);
});

function sample(peer: string, value: number, more: Partial<Sample> = {}): Sample {
  const base = { peer, round: 1, measure: "bulk-1", foreignShare: 0, loadShare: 0.5, problems: [] } as const;
  return { ...base, figures: { gibPerSecond: value }, ...more };
}

test("invalid samples never count and their reasons are kept once", () => {
  const problems = ["the servers counted 1 connections, the load made 2"];
  const samples = [sample("p", 1), sample("p", 99, { problems }), sample("p", 98, { problems })];
  const [row] = rowsOf(samples, "bulk-1", ["p"]);
  assert.equal(row?.figures["gibPerSecond"], 1);
  assert.deepEqual([row?.used, row?.taken, row?.problems], [1, 3, problems]);
});

test("disturbed samples count only when there is no other, and then the row says so", () => {
  const quiet = rowsOf([sample("p", 1), sample("p", 5, { foreignShare: 0.3 })], "bulk-1", ["p"]);
  assert.deepEqual([quiet[0]?.figures["gibPerSecond"], quiet[0]?.disturbed], [1, false]);
  const loud = rowsOf([sample("p", 3, { foreignShare: 0.3 })], "bulk-1", ["p"]);
  assert.deepEqual([loud[0]?.figures["gibPerSecond"], loud[0]?.disturbed], [3, true]);
});

test("rows come in the order of the peers; other measures and absent peers make none", () => {
  const samples = [sample("b", 1), sample("a", 2), sample("a", 3, { measure: "bulk-8" })];
  assert.deepEqual(
    rowsOf(samples, "bulk-1", ["a", "missing", "b"]).map((row) => row.peer),
    ["a", "b"],
  );
});

test("a ratio needs both figures and something to divide by", () => {
  const [a, zero] = rowsOf([sample("a", 6), sample("z", 0)], "bulk-1", ["a", "z"]);
  assert.ok(a !== undefined && zero !== undefined);
  assert.equal(ratioTo(a, { ...a, figures: { gibPerSecond: 4 } }, "gibPerSecond"), 1.5);
  assert.equal(ratioTo(a, zero, "gibPerSecond"), undefined);
  assert.equal(ratioTo(a, undefined, "gibPerSecond"), undefined);
  assert.equal(ratioTo(a, a, "absent"), undefined);
});

test("quantiles are within one bucket of the truth", () => {
  const histogram = new LatencyHistogram();
  assert.equal(histogram.quantileUs(0.5), 0);
  for (let us = 1; us <= 10_000; us++) histogram.record(us);
  assert.equal(histogram.count, 10_000);
  for (const share of [0.01, 0.5, 0.99]) {
    const found = histogram.quantileUs(share);
    assert.ok(Math.abs(found / (share * 10_000) - 1) < 0.011, `${share}: ${found}`);
  }
  assert.ok(histogram.quantileUs(1) <= histogram.maxUs);
});

test("values outside the buckets are kept at their ends; clearing forgets all", () => {
  const histogram = new LatencyHistogram();
  histogram.record(0);
  histogram.record(1e15);
  assert.equal(histogram.count, 2);
  assert.ok(histogram.quantileUs(0.4) <= 1.01);
  histogram.clear();
  assert.deepEqual([histogram.count, histogram.maxUs, histogram.quantileUs(0.99)], [0, 0, 0]);
});
