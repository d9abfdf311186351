/** Own identities, and the identities of waypoints: who is refused, then the one pod that is not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodObject } from "#core/k8s/object-types.ts";
import { aWaypointPod, ownedBy, waypointFacts } from "../test/waypoint-cluster.ts";
import { waypointPods } from "../waypoints/gateway/waypoint-pods.ts";
import type { Caller } from "./caller-identity.ts";
import {
  checkIdentity,
  type IdentityVerdict,
  type NodeCheckNow,
  type NodeCheckPolicy,
} from "./node-check.ts";

const POLICY: NodeCheckPolicy = {
  trustDomain: "cluster.local",
  trustedNodeAccounts: ["istio-system/ztunnel"],
  reservedAccounts: ["istio-system/ambit-controller"],
  enrolment: { systemNamespace: "istio-system", excludedNamespaces: [] },
};
const callerOf = (pod: PodObject): Caller => ({
  namespace: pod.metadata.namespace,
  serviceAccount: pod.serviceAccount,
  accountUid: "a",
  podName: pod.metadata.name,
  podUid: pod.metadata.uid,
  nodeName: pod.node,
  expiresMs: 0,
});

function ask(caller: Caller, seen: PodObject | undefined, requested?: string): IdentityVerdict {
  const now: NodeCheckNow = {
    podsOn: (_, account) =>
      seen !== undefined && account === `${seen.metadata.namespace}/${seen.serviceAccount}` ? [seen] : [],
    namespace: () => undefined,
    pod: () => seen,
    waypoints: waypointPods(waypointFacts),
    nowMs: 0,
  };
  return checkIdentity(caller, requested, POLICY, now);
}
const own = (pod: PodObject): IdentityVerdict => ask(callerOf(pod), pod);

const refusals: readonly (readonly [string, IdentityVerdict, RegExp])[] = [
  ["an application's pod", own(aWaypointPod({ serviceAccount: "frontend" }, { labels: {} })), /no label/],
  ["a foreign pod with the label", own(aWaypointPod({ serviceAccount: "frontend" })), /runs as frontend/],
  [
    "a pod with label and account that a namespace owner made",
    own(aWaypointPod({ owner: undefined })),
    /no ReplicaSet/,
  ],
  [
    "a pod of a namespace owner's Deployment with label and account",
    own(aWaypointPod({ owner: ownedBy("thief", "uid-thief") })),
    /not of the waypoint's Deployment/,
  ],
  ["a waypoint that is being deleted", own(aWaypointPod({}, { deletionMs: 1 })), /being deleted/],
  ["a waypoint's pod that is gone", ask(callerOf(aWaypointPod()), undefined), /gone/],
  [
    "a waypoint's pod of an earlier uid",
    ask(callerOf(aWaypointPod()), aWaypointPod({}, { uid: "newer" })),
    /gone/,
  ],
  ["a waypoint with the node's network", own(aWaypointPod({ hostNetwork: true })), /node's network/],
];
for (const [name, verdict, why] of refusals) {
  test(`gets no certificate of its own: ${name}`, () => {
    assert.equal(verdict.kind, "refused");
    assert.match(verdict.kind === "refused" ? verdict.why : "", why);
  });
}

test("a pod of a namespace where no waypoint is recorded is told to come back, and gets nothing", () => {
  assert.equal(own(aWaypointPod({}, { namespace: "other" })).kind, "early");
});

test("a ztunnel gets no certificate of a waypoint's account for a pod that runs as it", () => {
  const ztunnel = aWaypointPod({ serviceAccount: "ztunnel" }, { namespace: "istio-system", labels: {} });
  for (const namespace of ["shop", "other"]) {
    const thief = aWaypointPod({ owner: undefined }, { namespace });
    const verdict = ask(callerOf(ztunnel), thief, `spiffe://cluster.local/ns/${namespace}/sa/ambit-waypoint`);
    assert.equal(verdict.kind, "refused");
    assert.match(verdict.kind === "refused" ? verdict.why : "", /account of a waypoint/);
  }
});

test("a waypoint may not ask for another identity", () => {
  const verdict = ask(callerOf(aWaypointPod()), aWaypointPod(), "spiffe://cluster.local/ns/shop/sa/catalog");
  assert.match(verdict.kind === "refused" ? verdict.why : "", /may not ask for other identities/);
});

test("a recorded waypoint's pod gets the identity of its account", () => {
  assert.deepEqual(own(aWaypointPod()), {
    kind: "granted",
    identity: "spiffe://cluster.local/ns/shop/sa/ambit-waypoint",
    account: "shop/ambit-waypoint",
  });
});
