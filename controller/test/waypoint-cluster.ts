/** One recorded waypoint in namespace `shop`, and pods that look like it. */
import type { ObjectMeta, PodObject } from "#core/k8s/object-types.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import { LABEL_GATEWAY_NAME, type WaypointFacts } from "../waypoints/gateway/waypoint-pods.ts";

const DEPLOYMENT = "uid-deployment";

export const waypointFacts: WaypointFacts = {
  recorded: (namespace, gateway) =>
    namespace === "shop" && gateway === AUTOMATIC_WAYPOINT
      ? { deploymentUid: DEPLOYMENT, serviceAccount: AUTOMATIC_WAYPOINT }
      : undefined,
  replicaSet: (namespace, name) =>
    namespace !== "shop"
      ? undefined
      : {
          "ambit-waypoint-1": { uid: "uid-set", owner: { kind: "Deployment", uid: DEPLOYMENT } },
          thief: { uid: "uid-thief", owner: { kind: "Deployment", uid: "uid-other" } },
          bare: { uid: "uid-bare", owner: undefined },
          odd: { uid: "uid-odd", owner: { kind: "StatefulSet", uid: DEPLOYMENT } },
        }[name],
};

export function ownedBy(name: string, uid: string, kind = "ReplicaSet"): NonNullable<PodObject["owner"]> {
  return { kind, name, uid };
}

/** The waypoint's own pod, unless told otherwise. */
export function aWaypointPod(change: Partial<PodObject> = {}, metadata: Partial<ObjectMeta> = {}): PodObject {
  return {
    metadata: {
      name: "ambit-waypoint-1-x",
      namespace: "shop",
      uid: "uid-pod",
      resourceVersion: "1",
      generation: 1,
      creationMs: 0,
      deletionMs: undefined,
      labels: { [LABEL_GATEWAY_NAME]: AUTOMATIC_WAYPOINT },
      annotations: {},
      ...metadata,
    },
    owner: ownedBy("ambit-waypoint-1", "uid-set"),
    serviceAccount: AUTOMATIC_WAYPOINT,
    node: "n1",
    hostNetwork: false,
    ips: ["10.0.0.2"],
    ports: [],
    ready: true,
    phase: "Running",
    foreignProbeHosts: [],
    ...change,
  };
}
