/** Gates that have to do with time and with who is away; orders are in `binding-model.test.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { aWaypointPod } from "../../test/waypoint-cluster.ts";
import { type Stage, STAGES } from "./binding.ts";
import { type Asked, type BindingFacts, type Step, stepBinding } from "./binding-machine.ts";
import { bindingFacts, type ConnectedProxy, type ProgressInput } from "../loop/proxy-progress.ts";

const ALL: BindingFacts = {
  published: true,
  readyWaypoints: 1,
  waypointsBehind: [],
  destinationsBehind: [],
  sourcesBehind: [],
  sourcesMissing: [],
  watchedMs: 1e9,
};
const TIMES = { drainMs: 5_500, missingMs: 10_000, graceMs: 30_000 };

function step(
  stage: Stage,
  elapsedMs: number,
  facts: Partial<BindingFacts> = {},
  asked: Asked = "gradually",
): Step {
  const at = { nowMs: 1_000_000 + elapsedMs, times: TIMES };
  return stepBinding({ stage, sinceMs: 1_000_000 }, asked, { ...ALL, ...facts }, at);
}

const stays = (one: Step): string =>
  one.kind === "stay" ? `${one.reason} ${one.waitsFor.join()}`.trim() : one.kind;

test("nothing moves before what follows from the stage is public, but a policy that is gone turns it round at once", () => {
  for (const stage of ["starting", "exempting", "binding", "draining", "denying"] as const)
    assert.equal(stays(step(stage, 60_000, { published: false })), "Publishing");
  assert.deepEqual(step("starting", 0, { published: false }, "nothing"), { kind: "gone" });
  assert.deepEqual(step("denying", 0, { published: false }, "nothing"), { kind: "go", stage: "releasing" });
});

test("a source that is away is waited for 10 s; one that is connected without end; a destination without end", () => {
  const away = { sourcesMissing: ["node n2"] };
  assert.equal(stays(step("binding", 9_999, away)), "WaitingForNode node n2");
  assert.deepEqual(step("binding", 10_000, away), { kind: "go", stage: "draining" });
  assert.equal(stays(step("binding", 1e9, { ...away, watchedMs: 9_999 })), "WaitingForNode node n2");
  assert.equal(stays(step("binding", 1e9, { sourcesBehind: ["node n2"] })), "WaitingForNode node n2");
  for (const stage of ["exempting", "denying"] as const)
    assert.equal(stays(step(stage, 1e9, { destinationsBehind: ["node n2"] })), "WaitingForNode node n2");
});

test("immediately: whatever the stage, everything up to the DENY goes out at once, without waiting for anybody", () => {
  const nobody = {
    published: false,
    readyWaypoints: 0,
    destinationsBehind: ["node n1"],
    sourcesBehind: ["node n2"],
  };
  for (const stage of STAGES.filter((one) => one !== "denying" && one !== "enforced"))
    assert.deepEqual(step(stage, 0, nobody, "immediately"), { kind: "go", stage: "denying" }, stage);
  assert.equal(stays(step("denying", 0, nobody, "immediately")), "Publishing");
});

test("Enforced takes everybody, also where nothing was waited for before: destinations, the waypoint, and sources", () => {
  const after = (facts: Partial<BindingFacts>): string =>
    stays(step("denying", 60_000, facts, "immediately"));
  assert.equal(after({ destinationsBehind: ["node n1"] }), "WaitingForNode node n1");
  assert.equal(after({ readyWaypoints: 0 }), "WaypointStarting");
  assert.equal(after({ waypointsBehind: ["pod a/b"] }), "WaitingForWaypoint pod a/b");
  assert.equal(after({ sourcesBehind: ["node n2"] }), "WaitingForNode node n2");
  assert.equal(
    stays(step("denying", 0, { sourcesMissing: ["node n3"] }, "immediately")),
    "WaitingForNode node n3",
  );
  assert.deepEqual(step("denying", 0, {}, "immediately"), { kind: "go", stage: "enforced" });
});

test("older connections get their time, and an unused waypoint its grace", () => {
  assert.equal(stays(step("draining", 5_499)), "Draining");
  assert.deepEqual(step("draining", 5_500), { kind: "go", stage: "denying" });
  assert.equal(stays(step("resting", 29_999, {}, "nothing")), "Resting");
  assert.deepEqual(step("resting", 30_000, {}, "nothing"), { kind: "gone" });
});

test("a clock that was set back begins the stage's time again instead of holding it", () => {
  assert.deepEqual(step("draining", -3_600_000), { kind: "go", stage: "draining" });
});

test("without a ready waypoint nobody is sent to one", () => {
  assert.equal(stays(step("starting", 1e9, { readyWaypoints: 0 })), "WaypointStarting");
  assert.equal(stays(step("exempting", 1e9, { readyWaypoints: 0 })), "WaypointStarting");
  assert.equal(stays(step("starting", 1e9, { waypointsBehind: ["pod a/b"] })), "WaitingForWaypoint pod a/b");
});

const ztunnel = (node: string, hasAll: boolean, podUid = `uid-${node}`): ConnectedProxy => ({
  kind: "ztunnel",
  podUid,
  pod: `istio-system/ztunnel-${node}`,
  node,
  waypoint: undefined,
  hasAll,
});
const waypoint = (hasAll: boolean, of = "shop/ambit-waypoint"): ConnectedProxy => ({
  kind: "waypoint",
  podUid: "uid-pod",
  pod: "shop/ambit-waypoint-1-x",
  node: "n1",
  waypoint: of,
  hasAll,
});
const facts = (change: Partial<ProgressInput>): ReturnType<typeof bindingFacts> =>
  bindingFacts({
    published: true,
    unpublished: [],
    proxies: [],
    recent: new Set(),
    ztunnels: [],
    nodes: new Set(),
    gateway: "shop/ambit-waypoint",
    waypointPods: [],
    ...change,
  });

test("a node has it when every ztunnel on it has: while one follows another both hold connections", () => {
  const nodes = new Set(["n1", "n2"]);
  const behind = (...proxies: readonly ConnectedProxy[]): readonly string[] =>
    facts({ nodes, proxies }).destinationsBehind;
  assert.deepEqual(behind(), ["node n1", "node n2"], "nobody is there");
  assert.deepEqual(behind(ztunnel("n1", true), ztunnel("n2", true)), []);
  assert.deepEqual(behind(ztunnel("n1", true), ztunnel("n1", false, "new"), ztunnel("n2", true)), [
    "node n1",
  ]);
  assert.deepEqual(behind(ztunnel("n1", true), ztunnel("n2", true), ztunnel("n3", false)), []);
});

test("a waypoint's pod that is ready and not connected counts as behind; one that goes does not count as ready", () => {
  const pod = aWaypointPod();
  const alone = facts({ waypointPods: [pod] });
  assert.deepEqual([alone.readyWaypoints, alone.waypointsBehind], [1, ["pod shop/ambit-waypoint-1-x"]]);
  assert.deepEqual(facts({ waypointPods: [pod], proxies: [waypoint(true)] }).waypointsBehind, []);
  assert.deepEqual(facts({ waypointPods: [pod], proxies: [waypoint(false)] }).waypointsBehind, [
    "pod shop/ambit-waypoint-1-x",
  ]);
  assert.deepEqual(facts({ proxies: [waypoint(false, "bank/ambit-waypoint")] }).waypointsBehind, []);
  assert.equal(facts({ waypointPods: [aWaypointPod({}, { deletionMs: 1 })] }).readyWaypoints, 0);
  assert.equal(facts({ waypointPods: [aWaypointPod({ ready: false })] }).readyWaypoints, 0);
});

test("ztunnels that should be there and are not are missing, not behind", () => {
  const pods = ["n1", "n2"].map((node) =>
    aWaypointPod({ node }, { namespace: "istio-system", name: `ztunnel-${node}`, uid: `uid-${node}` }),
  );
  const found = facts({ ztunnels: pods, proxies: [ztunnel("n1", false)] });
  assert.deepEqual([found.sourcesBehind, found.sourcesMissing], [["node n1"], ["node n2"]]);
});
