/** Who is a waypoint: everything that a namespace owner can copy is not enough. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodObject } from "#core/k8s/object-types.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import { aWaypointPod, ownedBy, waypointFacts } from "../../test/waypoint-cluster.ts";
import { LABEL_GATEWAY_NAME, waypointPods } from "./waypoint-pods.ts";

const pods = waypointPods(waypointFacts);

const foreign: readonly (readonly [string, PodObject, RegExp])[] = [
  ["a pod without the label", aWaypointPod({}, { labels: {} }), /no label/],
  [
    "a pod with the label and the account that nobody owns",
    aWaypointPod({ owner: undefined }),
    /no ReplicaSet made/,
  ],
  [
    "a pod that names the Deployment itself as its owner",
    aWaypointPod({ owner: ownedBy("ambit-waypoint", "uid-deployment", "Deployment") }),
    /no ReplicaSet made/,
  ],
  [
    "a pod of another Deployment",
    aWaypointPod({ owner: ownedBy("thief", "uid-thief") }),
    /not of the waypoint's/,
  ],
  [
    "a pod of a ReplicaSet without an owner",
    aWaypointPod({ owner: ownedBy("bare", "uid-bare") }),
    /not of the/,
  ],
  [
    "a ReplicaSet with the uid, but of another kind",
    aWaypointPod({ owner: ownedBy("odd", "uid-odd") }),
    /not of the/,
  ],
  [
    "a pod that names the ReplicaSet under another uid",
    aWaypointPod({ owner: ownedBy("ambit-waypoint-1", "uid-earlier") }),
    /earlier ReplicaSet/,
  ],
  [
    "a pod with the label under another account",
    aWaypointPod({ serviceAccount: "frontend" }),
    /runs as frontend/,
  ],
  ["a pod with the node's network", aWaypointPod({ hostNetwork: true }), /node's network/],
];
for (const [name, pod, why] of foreign) {
  test(`is no waypoint: ${name}`, () => {
    assert.equal(pods.isWaypointPod(pod), undefined);
    const standing = pods.standingOf(pod);
    assert.equal(standing.kind, "foreign");
    assert.match(standing.kind === "foreign" ? standing.why : "", why);
  });
}

const notSeen: readonly (readonly [string, PodObject])[] = [
  ["of a namespace where none is recorded", aWaypointPod({}, { namespace: "other" })],
  ["of a Gateway that is not recorded", aWaypointPod({}, { labels: { [LABEL_GATEWAY_NAME]: "wp" } })],
  ["whose ReplicaSet has not been seen", aWaypointPod({ owner: ownedBy("new", "uid-new") })],
];
for (const [name, pod] of notSeen) {
  test(`is no waypoint yet: a pod ${name}`, () => {
    assert.equal(pods.isWaypointPod(pod), undefined);
    assert.equal(pods.standingOf(pod).kind, "not-seen");
  });
}

test("a pod that the recorded Deployment made under its account is one", () => {
  assert.deepEqual(pods.isWaypointPod(aWaypointPod()), { gateway: AUTOMATIC_WAYPOINT });
});

test("the reserved account is a waypoint's everywhere, that of a Gateway where one is recorded", () => {
  assert.equal(pods.isWaypointAccount("anywhere", AUTOMATIC_WAYPOINT), true);
  assert.equal(pods.isWaypointAccount("shop", "frontend"), false);
  const explicit = waypointPods({
    ...waypointFacts,
    recorded: (_, gateway) => (gateway === "wp" ? { deploymentUid: "d", serviceAccount: "wp" } : undefined),
  });
  assert.equal(explicit.isWaypointAccount("shop", "wp"), true);
  assert.equal(explicit.isWaypointAccount("shop", "wp2"), false);
});
