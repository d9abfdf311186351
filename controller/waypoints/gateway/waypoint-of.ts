/** Which pods are waypoints, by what is recorded on their Gateways, in the graph. */
import type { OwnedObject, PodObject } from "#core/k8s/object-types.ts";
import type { Collection } from "../../collections/collection.ts";
import type { ReadContext } from "../../collections/derive.ts";
import type { WaypointGateway } from "./waypoint-gateway.ts";
import { LABEL_GATEWAY_NAME, waypointPods } from "./waypoint-pods.ts";

export interface WaypointOwners {
  readonly gateways: Collection<WaypointGateway>;
  readonly replicaSets: Collection<OwnedObject>;
}

/** Name of the waypoint that the pod is, shown by its owners' uids. */
export function waypointOf(
  read: ReadContext,
  pod: PodObject,
  { gateways, replicaSets }: WaypointOwners,
): string | undefined {
  if (pod.metadata.labels[LABEL_GATEWAY_NAME] === undefined) return undefined;
  return waypointPods({
    recorded: (namespace, name) => recordedWaypoint(read.get(gateways, `${namespace}/${name}`)),
    replicaSet: (namespace, name) => ownership(read.get(replicaSets, `${namespace}/${name}`)),
  }).isWaypointPod(pod)?.gateway;
}

/** The account of a waypoint has the Gateway's name. */
export function recordedWaypoint(
  gateway: WaypointGateway | undefined,
): { readonly deploymentUid: string; readonly serviceAccount: string } | undefined {
  const deploymentUid = gateway?.record.deploymentUid ?? "";
  return gateway === undefined || deploymentUid === ""
    ? undefined
    : { deploymentUid, serviceAccount: gateway.name };
}

export function ownership(
  object: OwnedObject | undefined,
): { readonly uid: string; readonly owner: OwnedObject["owner"] } | undefined {
  return object === undefined ? undefined : { uid: object.metadata.uid, owner: object.owner };
}
