/** What conditions say of a policy that a waypoint shares, and when a status is written. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { projectCustom } from "#core/k8s/project.ts";
import { testMeshConfig } from "../test/builders.ts";
import { type MeshPolicy, translateMeshPolicy } from "../translate/mesh-policy.ts";
import {
  authorizationCondition,
  type Condition,
  conditionsToApply,
  type WaypointPart,
} from "./conditions.ts";

function policy(spec: object): MeshPolicy {
  const metadata = { name: "p", namespace: "shop", generation: 3 };
  return translateMeshPolicy(projectCustom({ metadata, spec }), testMeshConfig);
}

const GET = { to: [{ operation: { methods: ["GET"] } }] };
const ALONE: WaypointPart = { targetGap: undefined, judges: [], enforced: false };
const JUDGED: WaypointPart = { targetGap: undefined, judges: ["shop/ambit-waypoint"], enforced: true };

test("without a waypoint an HTTP policy says what ztunnels cannot see", () => {
  const condition = authorizationCondition(policy({ rules: [GET] }), ALONE);
  assert.deepEqual([condition.status, condition.reason], ["True", "UnsupportedValue"]);
  assert.match(condition.message, /rules\[0\]\.to\[0\]\.operation\.methods needs a waypoint/);
});

test("with one it says who judges, and not before that is so", () => {
  const waiting = authorizationCondition(policy({ rules: [GET] }), { ...JUDGED, enforced: false });
  assert.deepEqual([waiting.status, waiting.reason], ["False", "WaitingForWaypoint"]);
  const judged = authorizationCondition(policy({ rules: [GET] }), JUDGED);
  assert.deepEqual([judged.status, judged.reason, judged.observedGeneration], ["True", "Accepted", 3]);
  assert.match(
    judged.message,
    /^requests are judged by waypoint shop\/ambit-waypoint; .*count as TCP alone$/,
  );
});

test("what a waypoint does not see either is still said", () => {
  const spec = { rules: [GET, { from: [{ source: { requestPrincipals: ["*"] } }] }] };
  const condition = authorizationCondition(policy(spec), JUDGED);
  assert.deepEqual([condition.status, condition.reason], ["True", "UnsupportedValue"]);
  assert.match(condition.message, /requestPrincipals/);
  assert.doesNotMatch(condition.message, /methods/);
});

test("a policy with targets is attached to them, or says what is missing", () => {
  const targeted = policy({ targetRefs: [{ kind: "Service", group: "", name: "x" }], rules: [GET] });
  const lost = authorizationCondition(targeted, {
    ...ALONE,
    targetGap: "spec.targetRefs[0]: x does not exist",
  });
  assert.deepEqual([lost.type, lost.status, lost.reason], ["WaypointAccepted", "False", "TargetNotFound"]);
  const found = authorizationCondition(targeted, JUDGED);
  assert.deepEqual([found.type, found.status], ["WaypointAccepted", "True"]);
});

const enforced: Condition = {
  type: "Enforced",
  status: "True",
  reason: "Enforced",
  message: "m",
  observedGeneration: 1,
};
const T0 = "2026-01-01T00:00:00Z";
const NOW = Date.UTC(2026, 5, 1);

test("a status that says the same is not written; one that says something else keeps the time of what did not turn", () => {
  const written = [{ ...enforced, lastTransitionTime: T0 }];
  assert.equal(conditionsToApply(written, [enforced], NOW), undefined);
  const changed = conditionsToApply(written, [{ ...enforced, message: "n" }], NOW);
  assert.deepEqual(changed, [{ ...enforced, message: "n", lastTransitionTime: T0 }]);
  const turned = conditionsToApply(written, [{ ...enforced, status: "False" }], NOW);
  assert.deepEqual(turned, [{ ...enforced, status: "False", lastTransitionTime: "2026-06-01T00:00:00Z" }]);
});

test("a condition that is no longer wanted is taken back; somebody else's is left", () => {
  const accepted: Condition = { ...enforced, type: "ZtunnelAccepted" };
  const both = [enforced, accepted].map((condition) => ({ ...condition, lastTransitionTime: T0 }));
  assert.deepEqual(conditionsToApply(both, [accepted], NOW), [{ ...accepted, lastTransitionTime: T0 }]);
  const foreign = { ...enforced, type: "Reviewed", lastTransitionTime: T0 };
  assert.equal(conditionsToApply([both[1], foreign], [accepted], NOW), undefined);
});
