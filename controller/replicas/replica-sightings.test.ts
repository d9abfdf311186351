/** Who lives: by what the same watch has brought of the own writes, never by anybody's clock. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { projectReplica, type ReplicaObject, replicaContent } from "./replica-object.ts";
import { formatReport, NO_REPORT } from "./replica-report.ts";
import { ReplicaSightings } from "./replica-sightings.ts";

let version = 0;
function lease(podName: string, renewTime: string, holder = podName): ReplicaObject {
  const report = formatReport(NO_REPORT) ?? "";
  const content = replicaContent({ namespace: "m", podName, podUid: "", holder, renewTime, report });
  const metadata = { ...(content["metadata"] as object), name: podName, uid: `uid-${podName}` };
  return projectReplica({ ...content, metadata: { ...metadata, resourceVersion: String(++version) } });
}

const names = (sightings: ReplicaSightings): string =>
  sightings
    .live()
    .map(({ name, isOwn }) => `${name}${isOwn ? "*" : ""}`)
    .join();

test("a replica that does not renew is gone when an own write of 15 s later has come back, not before", () => {
  const sightings = new ReplicaSightings("a");
  const b = lease("b", "x");
  sightings.sent("1", 0);
  sightings.observe([lease("a", "1"), b], 1_000);
  assert.equal(names(sightings), "a*,b");
  sightings.sent("2", 15_999);
  sightings.observe([lease("a", "2"), b], 16_000);
  assert.equal(names(sightings), "a*,b", "seen at 1,000: its 15 s are over at 16,000");
  sightings.sent("3", 16_000);
  assert.equal(names(sightings), "a*,b", "sent, not come back");
  sightings.observe([lease("a", "3"), b], 90_000);
  assert.equal(names(sightings), "a*");
  sightings.observe([lease("a", "3"), lease("b", "y")], 90_001);
  assert.equal(names(sightings), "a*,b", "it renews again");
});

test("a watch that hangs lets nobody expire, however long", () => {
  const sightings = new ReplicaSightings("a");
  const [own, b] = [lease("a", "1"), lease("b", "x")];
  sightings.sent("1", 0);
  sightings.observe([own, b], 0);
  for (let ms = 5_000; ms < 600_000; ms += 5_000) sightings.sent(`t${ms}`, ms);
  sightings.observe([own, b], 600_000);
  assert.equal(names(sightings), "a*,b");
  assert.equal(sightings.watchedToMs, 0);
});

test("before the own word has come back everybody lives", () => {
  const sightings = new ReplicaSightings("a");
  const b = lease("b", "x");
  sightings.observe([b], 0);
  sightings.observe([b], 1e9);
  assert.equal(names(sightings), "b");
});

test("who says good-bye is gone at once; whose Lease is deleted has not said anything, and is waited for", () => {
  const sightings = new ReplicaSightings("a");
  sightings.sent("1", 0);
  const own = lease("a", "1");
  sightings.observe([own, lease("b", "x"), lease("c", "x")], 0);
  sightings.observe([own, lease("b", "y", "")], 1);
  assert.equal(names(sightings), "a*,c");
  sightings.sent("2", 15_000);
  sightings.observe([lease("a", "2")], 15_001);
  assert.equal(names(sightings), "a*");
});

test("what the predecessor in the same pod wrote is not the own word", () => {
  const sightings = new ReplicaSightings("a_new");
  sightings.sent("2", 5);
  sightings.observe([lease("a", "1", "a_old")], 10);
  assert.equal(sightings.watchedToMs, undefined);
  assert.equal(names(sightings), "a");
  sightings.observe([lease("a", "2", "a_new")], 11);
  assert.equal(sightings.watchedToMs, 5);
  assert.equal(names(sightings), "a*");
});

test("times in a lease are for people: another machine's clock decides nothing", () => {
  const sightings = new ReplicaSightings("a");
  const past = lease("b", "1970-01-01T00:00:00.000000Z");
  const future = lease("c", "2999-01-01T00:00:00.000000Z");
  sightings.sent("1", 0);
  sightings.observe([lease("a", "1"), past, future], 0);
  assert.equal(names(sightings), "a*,b,c");
  sightings.sent("2", 15_000);
  sightings.observe([lease("a", "2"), past, future], 15_001);
  assert.equal(names(sightings), "a*");
});

test("a lease that asks for less or for very much patience gets 15 to 60 s", () => {
  for (const [seconds, ms] of [
    [0, 15_000],
    [1, 15_000],
    [30, 30_000],
    [86_400, 60_000],
  ] as const)
    assert.equal(projectReplica({ spec: { leaseDurationSeconds: seconds } }).durationMs, ms);
  assert.equal(projectReplica({}).durationMs, 15_000);
});
