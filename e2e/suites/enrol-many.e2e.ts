/** Twenty running pods join by one label: all of them, each with its programs, and the time that took is reported. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "../framework/eventually.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { pinnedPods } from "../framework/node-inside.ts";
import { applyYaml, listPods, runPods } from "../framework/pods.ts";
import { say } from "../framework/say.ts";

const PODS = 20;
const AMBIENT = { metadata: { labels: { "istio.io/dataplane-mode": "ambient" } } };

let mesh: Mesh;

before(async () => {
  mesh = await meshUp();
  await applyYaml(mesh.client, "apiVersion: v1\nkind: Namespace\nmetadata: { name: crowd }\n");
  const names = Array.from({ length: PODS }, (_, i) => ({
    name: `pod-${i}`,
    node: i % 2 === 0 ? "n1" : "n2",
  }));
  await runPods(
    mesh.client,
    names.map((pod) => ({ ...pod, namespace: "crowd" })),
  );
});
after(() => mesh?.down());

test(`${PODS} running pods are enrolled by one label`, async () => {
  const began = performance.now();
  await mesh.client.json({
    method: "PATCH",
    path: "/api/v1/namespaces/crowd",
    contentType: "application/merge-patch+json",
    body: AMBIENT,
  });
  const pods = await eventually("every pod is marked as captured", async () => {
    const all = await listPods(mesh.client, "crowd");
    return all.every((pod) => pod.captured) ? all : undefined;
  });
  say(
    `enrolling ${PODS} running pods on 2 nodes: ${(performance.now() - began).toFixed(0)} ms from label to last annotation`,
  );
  assert.equal(pods.length, PODS);
  assert.ok(
    pods.every((pod) => pod.restarts === 0),
    "none was restarted",
  );
  const pinned = [...pinnedPods(mesh.node("n1")), ...pinnedPods(mesh.node("n2"))];
  assert.deepEqual(
    pinned.toSorted(),
    pods.map((pod) => pod.uid).toSorted(),
    "each has its programs, and nobody else",
  );
});
