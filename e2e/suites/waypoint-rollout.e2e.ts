/** Waypoints that are replaced, added and taken away under load by what anybody uses for that: rollout and scale. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DEPLOYMENT, kindPath } from "#core/k8s/kinds.ts";
import { eventually } from "../framework/eventually.ts";
import { ITEMS_POLICY } from "../framework/l7-policies.ts";
import { accessLog, asked, type L7Shop, openL7Shop, REFUSED, theWaypoint } from "../framework/l7-shop.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { applyYaml, listPods, type PodFacts } from "../framework/pods.ts";
import { AUTOMATIC, untilEnforced } from "../framework/waypoints.ts";

let mesh: Mesh;
let shop: L7Shop;

before(async () => {
  mesh = await meshUp();
  shop = await openL7Shop(mesh);
  await applyYaml(mesh.client, ITEMS_POLICY);
  await untilEnforced(mesh.client, "shop", "items");
});
after(() => mesh?.down());

async function patchDeployment(spec: object): Promise<void> {
  await mesh.client.json({
    method: "PATCH",
    path: kindPath(DEPLOYMENT, { namespace: "shop", name: AUTOMATIC }),
    contentType: "application/merge-patch+json",
    body: { spec },
  });
}

/** Until just these many pods of the waypoint are there, each Ready, and none that is still going away. */
function untilPods(
  count: number,
  isWanted: (pod: PodFacts) => boolean = () => true,
): Promise<readonly PodFacts[]> {
  return eventually(`${count} waypoint pods`, async () => {
    const pods = await listPods(mesh.client, "shop", `gateway.networking.k8s.io/gateway-name=${AUTOMATIC}`);
    return pods.length === count && pods.every((pod) => pod.ready && isWanted(pod)) ? pods : undefined;
  });
}

test("a rollout: the new pod is there before the old one drains, and nothing fails", async () => {
  const old = await theWaypoint(mesh);
  await shop.load.begin();
  await patchDeployment({
    template: { metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": "now" } } },
  });
  const [fresh] = await untilPods(1, (pod) => pod.uid !== old.uid);
  assert.ok(fresh);
  assert.deepEqual(await asked(shop.frontend, "/items/931", { method: "POST" }), REFUSED);
  await eventually("requests through the new pod", () => accessLog(mesh, fresh).length > 100 || undefined);
  await shop.load.expectNoFailure("rollout of the waypoint", { mayRetry: true });
});

test("a second replica takes its part, and goes again: nothing fails", async () => {
  await shop.load.begin();
  await patchDeployment({ replicas: 2 });
  const pods = await untilPods(2);
  await eventually(
    "both judge requests",
    () => pods.every((pod) => accessLog(mesh, pod).length > 10) || undefined,
  );
  await patchDeployment({ replicas: 1 });
  await untilPods(1);
  assert.deepEqual(await asked(shop.frontend, "/items/932", { method: "POST" }), REFUSED);
  await shop.load.expectNoFailure("a second replica came and went", { mayRetry: true });
});
