import assert from "node:assert/strict";
import { test } from "node:test";
import { bulkFigures, latencyFigures, rateFigures } from "./figures.ts";
import { L4_SUBJECT, MEASURES } from "./measures.ts";
import { rotated } from "./run-l4.ts";
import { compareCounts } from "./run-measure.ts";

const window = { a: 0.3, b: 0.2, load: 1, foreignShare: 0, loadShare: 0.5 };
const result = { count: 1_000, seconds: 2, opened: 64, failures: 0, latency: undefined };

test("each counter that disagrees with the load is named", () => {
  const before = { servers: 10, peer: { a: 5, b: 5 } };
  assert.deepEqual(compareCounts(before, { servers: 18, peer: { a: 13, b: 13 } }, 8), []);
  const found = compareCounts(before, { servers: 17, peer: { a: 14, b: 5 } }, 8);
  assert.deepEqual(found, [
    "the servers counted 7 connections, the load made 8",
    "A's metrics counted 9 connections, the load made 8",
    "B's metrics counted 0 connections, the load made 8",
  ]);
});

test("a peer that does not count is judged by the servers alone", () => {
  assert.deepEqual(compareCounts({ servers: 0, peer: undefined }, { servers: 3, peer: undefined }, 3), []);
});

test("each round begins with another peer and leaves none out", () => {
  assert.deepEqual(rotated(["a", "b", "c"], 0), ["a", "b", "c"]);
  assert.deepEqual(rotated(["a", "b", "c"], 4), ["b", "c", "a"]);
  assert.deepEqual(rotated([], 3), []);
});

test("figures per unit", () => {
  const bulk = bulkFigures(window, { bytes: 2 ** 31, seconds: 4 });
  assert.deepEqual([bulk.gibPerSecond, bulk.cpuSecondsPerGib], [0.5, 0.25]);
  assert.deepEqual(rateFigures(window, result), { perSecond: 500, cpuUsPerUnit: 500 });
  assert.deepEqual(latencyFigures(result, "Us"), {});
  const latency = { p50Us: 1_500, p99Us: 3_000, maxUs: 9_000 };
  assert.deepEqual(latencyFigures({ ...result, latency }, "Ms"), { p50Ms: 1.5, p99Ms: 3 });
});

test("every goal is about a figure that its measure has", () => {
  for (const { measure, metric } of L4_SUBJECT.goals) {
    assert.ok((MEASURES as readonly string[]).includes(measure));
    assert.ok(
      L4_SUBJECT.info[measure]?.metrics.some(({ name }) => name === metric),
      `${measure} ${metric}`,
    );
  }
});
