/** Which xDS client a caller may be: any namespace owner can mint tokens, so a type goes to known accounts and recorded pods alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodObject } from "#core/k8s/object-types.ts";
import type { Caller } from "../ca/caller-identity.ts";
import { aWaypointPod, ownedBy, waypointFacts } from "../test/waypoint-cluster.ts";
import { waypointPods } from "../waypoints/gateway/waypoint-pods.ts";
import { checkClient, type ClientFacts, type ClientVerdict } from "./client-auth.ts";
import type { ClientNode } from "./node-id.ts";

const callerOf = (pod: PodObject): Caller => ({
  namespace: pod.metadata.namespace,
  serviceAccount: pod.serviceAccount,
  accountUid: "a",
  podName: pod.metadata.name,
  podUid: pod.metadata.uid,
  nodeName: pod.node,
  expiresMs: 0,
});
const clientOf = (pod: PodObject, change: Partial<ClientNode> = {}): ClientNode => ({
  type: "waypoint",
  id: `${pod.metadata.name}.${pod.metadata.namespace}`,
  namespace: pod.metadata.namespace,
  serviceAccount: pod.serviceAccount,
  nodeName: pod.node,
  version: "1",
  ...change,
});

/** `pod` calls and is what the informers have. */
function check(
  pod: PodObject,
  client: Partial<ClientNode> = {},
  facts: Partial<ClientFacts> = {},
): ClientVerdict {
  return checkClient(callerOf(pod), clientOf(pod, client), {
    trustedNodeAccounts: ["istio-system/ztunnel"],
    waypoints: waypointPods(waypointFacts),
    pod: (namespace, name) =>
      namespace === pod.metadata.namespace && name === pod.metadata.name ? pod : undefined,
    ...facts,
  });
}

const ztunnel = aWaypointPod(
  { serviceAccount: "ztunnel", owner: undefined },
  { namespace: "istio-system", name: "ztunnel-1", labels: {} },
);

interface Refused {
  readonly name: string;
  readonly verdict: ClientVerdict;
  readonly why: RegExp;
  readonly retry?: true;
}
const refused: readonly Refused[] = [
  {
    name: "a foreign pod with the waypoint's label",
    verdict: check(aWaypointPod({ serviceAccount: "frontend" })),
    why: /runs as frontend/,
  },
  {
    name: "a pod with the waypoint's account that a namespace owner made",
    verdict: check(aWaypointPod({ owner: undefined })),
    why: /no ReplicaSet made it/,
  },
  {
    name: "a pod of a namespace owner's Deployment with label and account",
    verdict: check(aWaypointPod({ owner: ownedBy("thief", "uid-thief") })),
    why: /not of the waypoint's Deployment/,
  },
  {
    name: "a pod of another namespace with everything the same",
    verdict: check(aWaypointPod({}, { namespace: "other" })),
    why: /no waypoint other\/ambit-waypoint is recorded/,
    retry: true,
  },
  {
    name: "a waypoint's pod that is gone",
    verdict: check(aWaypointPod(), {}, { pod: () => undefined }),
    why: /gone/,
  },
  {
    name: "a waypoint's pod of an earlier uid",
    verdict: check(aWaypointPod(), {}, { pod: () => aWaypointPod({}, { uid: "newer" }) }),
    why: /gone/,
  },
  {
    name: "a waypoint that says it is a ztunnel",
    verdict: check(aWaypointPod(), { type: "ztunnel" }),
    why: /may not be a ztunnel/,
  },
  {
    name: "a ztunnel that says it is a waypoint",
    verdict: check(ztunnel, { type: "waypoint" }),
    why: /no label/,
  },
  {
    name: "a waypoint that names another namespace",
    verdict: check(aWaypointPod(), { namespace: "bank" }),
    why: /NAMESPACE/,
  },
  {
    name: "a waypoint that names another account",
    verdict: check(aWaypointPod(), { serviceAccount: "x" }),
    why: /SERVICE_ACCOUNT/,
  },
  {
    name: "a waypoint that names another node",
    verdict: check(aWaypointPod(), { nodeName: "n2" }),
    why: /NODE_NAME/,
  },
];
for (const { name, verdict, why, retry } of refused) {
  test(`is refused: ${name}`, () => {
    assert.equal(verdict.kind, "refused");
    if (verdict.kind !== "refused") return;
    assert.match(verdict.why, why);
    assert.equal(verdict.retry, retry === true);
  });
}

test("a recorded waypoint's pod is that waypoint, to its very end", () => {
  const expected: ClientVerdict = { kind: "accepted", waypoint: "shop/ambit-waypoint" };
  assert.deepEqual(check(aWaypointPod()), expected);
  assert.deepEqual(check(aWaypointPod({}, { deletionMs: 1 })), expected);
});

test("a ztunnel of the mesh is accepted, and is no waypoint", () => {
  assert.deepEqual(check(ztunnel, { type: "ztunnel" }), { kind: "accepted", waypoint: undefined });
});
