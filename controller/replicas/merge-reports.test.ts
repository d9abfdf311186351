/** What all replicas together say: every doubt counts as "not yet". */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parsed, problem } from "#core/base/parse-result.ts";
import { mergeReports } from "./merge-reports.ts";
import type { ReplicaReport, ReportedProxy } from "./replica-report.ts";
import type { LiveReplica } from "./replica-sightings.ts";

const GATEWAY = "shop/ambit-waypoint";

const ztunnel = (n: number, hasLeft = false): ReportedProxy => ({
  podUid: `uid-${n}`,
  pod: `istio-system/ztunnel-${n}`,
  node: `node-${n}`,
  waypoint: undefined,
  hasLeft,
});

interface Said {
  readonly text?: string;
  readonly proxies?: readonly number[];
  readonly behind?: readonly number[];
  readonly left?: readonly number[];
  readonly view?: readonly string[];
}

function replica(
  name: string,
  { text = "now", proxies = [], behind = [], left = [], view = ["a", "b"] }: Said,
  isOwn = false,
): LiveReplica {
  const report: ReplicaReport = {
    view,
    proxies: [...proxies.map((n) => ztunnel(n)), ...left.map((n) => ztunnel(n, true))],
    gateways: new Map([[GATEWAY, { text, behind: new Set(behind.map((n) => `uid-${n}`)) }]]),
    refused: [],
  };
  return { name, holder: name, isOwn, report: parsed(report) };
}

const summary = (live: readonly LiveReplica[]): string => {
  const { published, unpublished, proxies } = mergeReports(live, GATEWAY, "now");
  const who = proxies.map(({ podUid, hasAll }) => `${podUid.slice(4)}${hasAll ? "" : "-"}`).toSorted();
  return `${published ? "yes" : "no"} ${unpublished.join()} ${who.join()}`;
};

test("published is what every live replica has published, this one too, as it came back by the watch", () => {
  assert.equal(summary([]), "no  ", "nobody has said anything");
  assert.equal(summary([replica("b", { view: ["b"] })]), "no  ", "the own word has not come back");
  assert.equal(summary([replica("a", { view: ["a"] }, true)]), "yes  ");
  assert.equal(summary([replica("a", {}, true), replica("b", {})]), "yes  ");
  assert.equal(summary([replica("a", {}, true), replica("b", { text: "old" })]), "no b ");
  assert.equal(summary([replica("a", { text: "old" }, true), replica("b", {})]), "no a ");
});

test("a replica that cannot be understood has published nothing, and nobody of its clients counts", () => {
  const odd: LiveReplica = { name: "b", holder: "b", isOwn: false, report: problem("", "is not JSON") };
  assert.equal(summary([replica("a", { proxies: [1] }, true), odd]), "no b 1");
});

test("a replica that says nothing of this waypoint has not published", () => {
  const { published } = mergeReports([replica("a", { view: ["a"] }, true)], "bank/ambit-waypoint", "now");
  assert.equal(published, false);
});

test("who is connected anywhere is connected; who is behind anywhere is behind", () => {
  const a = replica("a", { proxies: [1, 3], behind: [3] }, true);
  assert.equal(summary([a, replica("b", { proxies: [2] })]), "yes  1,2,3-");
  assert.equal(summary([a, replica("b", { proxies: [3] })]), "yes  1,3-", "on its way from b to a");
  const b = replica("b", { proxies: [1], behind: [1] });
  assert.equal(summary([a, b]), "yes  1-,3-", "on its way from a to b");
  assert.equal(summary([b, a]), "yes  1-,3-");
});

test("what clients of a replica have of an older text counts for nothing", () => {
  assert.equal(summary([replica("a", {}, true), replica("b", { text: "old", proxies: [2] })]), "no b 2-");
});

test("replicas that do not agree on who lives have published nothing", () => {
  const a = replica("a", { proxies: [1] }, true);
  assert.equal(
    summary([a, replica("b", { proxies: [2], view: ["a", "b", "c"] })]),
    "no b 1,2-",
    "c has ended",
  );
  assert.equal(summary([a, replica("b", { proxies: [2], view: ["b"] })]), "no b 1,2-");
  assert.equal(summary([a]), "no a 1-", "b has ended, and that is not said yet");
});

test("who has left a replica without what it should have is behind, whatever another said before; who had it is not there", () => {
  const a = replica("a", { proxies: [1, 2] }, true);
  assert.equal(summary([a, replica("b", { left: [2, 3], behind: [2] })]), "yes  1,2-");
  assert.equal(summary([replica("b", { left: [2, 3], behind: [2] }), a]), "yes  1,2-");
});
