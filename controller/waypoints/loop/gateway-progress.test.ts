/** When a waypoint's objects are looked at again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_RECORD } from "../gateway/waypoint-record.ts";
import { isProvisionDue, RESYNC_MS } from "./gateway-progress.ts";
import { loadYaml } from "../../source/file-source.ts";
import { Sources } from "../../sources.ts";

const MADE = { record: { ...NO_RECORD, deploymentUid: "uid" } };
const NOW = 1_000_000;
/** Looked at `agoMs` ago. */
const looked = (agoMs: number): Parameters<typeof isProvisionDue>[0] => ({
  provideAtMs: NOW - agoMs + RESYNC_MS,
  obstacle: undefined,
});

const sources = new Sources();
loadYaml("{ apiVersion: v1, kind: Pod, metadata: { name: w, namespace: shop } }", sources);
const pods = [...sources.pods.values()];
const ending = pods.map((pod) => ({ ...pod, metadata: { ...pod.metadata, deletionMs: 1 } }));

test("at once before the first time, else every half minute", () => {
  assert.equal(pods.length, 1);
  assert.ok(isProvisionDue(looked(0), { record: NO_RECORD }, pods, NOW));
  const taken = { ...looked(0), obstacle: "Service shop/ambit-waypoint belongs to somebody else" };
  assert.equal(isProvisionDue(taken, { record: NO_RECORD }, pods, NOW), false);
  assert.equal(isProvisionDue(looked(RESYNC_MS - 1), MADE, pods, NOW), false);
  assert.ok(isProvisionDue(looked(RESYNC_MS), MADE, pods, NOW));
});

test("while there is no pod that stays, every two seconds: somebody may have deleted the Deployment", () => {
  for (const gone of [[], ending]) {
    assert.equal(isProvisionDue(looked(1_999), MADE, gone, NOW), false);
    assert.ok(isProvisionDue(looked(2_000), MADE, gone, NOW));
  }
});
