/** Who is waited for: a ztunnel on its way from one replica to another is not absent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { aWaypointPod } from "../../test/waypoint-cluster.ts";
import { bindingFacts } from "./proxy-progress.ts";

const ztunnels = [1, 2].map((n) => aWaypointPod({ node: `n${n}` }, { uid: `uid-${n}` }));
const facts = (recent: readonly string[]): ReturnType<typeof bindingFacts> =>
  bindingFacts({
    published: false,
    unpublished: ["ambit-replica-controller-b"],
    proxies: [],
    recent: new Set(recent),
    ztunnels,
    nodes: new Set(["n1"]),
    gateway: "shop/ambit-waypoint",
    waypointPods: [],
  });

test("who was connected a moment ago is waited for like one that is; who was not, for a while", () => {
  const { sourcesBehind, sourcesMissing } = facts(["uid-1", "uid-of-a-waypoint"]);
  assert.deepEqual(sourcesBehind, ["node n1"]);
  assert.deepEqual(sourcesMissing, ["node n2"]);
});

test("a destination on its way is not there", () => {
  assert.deepEqual(facts(["uid-1", "uid-2"]).destinationsBehind, ["node n1"]);
});

test("replicas that have not published are named", () => {
  assert.deepEqual(facts([]).unpublished, ["replica ambit-replica-controller-b"]);
});
