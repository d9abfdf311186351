/**
 * Pure. Which pods ARE a waypoint: those that the Deployment of a recorded waypoint made, under its account. Labels can be taken by
 * anybody who may make pods in the namespace. So can an owner chain be written down, by whoever may make pods under that account:
 * that nobody but the ReplicaSet controller may is an admission fence (deploy/31-admission-waypoints.yaml); both are needed.
 */
import type { PodObject } from "#core/k8s/object-types.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";

export const LABEL_GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name";

/** A waypoint as the controller has made it. */
export interface RecordedWaypoint {
  /** `metadata.uid` of the Deployment that the controller applied and still owns. */
  readonly deploymentUid: string;
  /** Account of its pods. */
  readonly serviceAccount: string;
}

export interface OwnedObject {
  readonly uid: string;
  readonly owner: { readonly kind: string; readonly uid: string } | undefined;
}

/** What the controller and its informers know. */
export interface WaypointFacts {
  recorded(namespace: string, gateway: string): RecordedWaypoint | undefined;
  replicaSet(namespace: string, name: string): OwnedObject | undefined;
}

export type WaypointStanding =
  | { readonly kind: "waypoint"; readonly gateway: string }
  /** It may become known as one: the informers have not (yet) seen what would show it. */
  | { readonly kind: "not-seen"; readonly gateway: string; readonly why: string }
  | { readonly kind: "foreign"; readonly why: string };

export interface WaypointPods {
  standingOf(pod: PodObject): WaypointStanding;
  isWaypointPod(pod: PodObject): { readonly gateway: string } | undefined;
  /** Whether the account belongs to waypoints: nobody may ask for its certificates on a pod's behalf. */
  isWaypointAccount(namespace: string, account: string): boolean;
}

export function waypointPods(facts: WaypointFacts): WaypointPods {
  return {
    standingOf: (pod) => standingOf(pod, facts),
    isWaypointPod: (pod) => {
      const standing = standingOf(pod, facts);
      return standing.kind === "waypoint" ? { gateway: standing.gateway } : undefined;
    },
    // The account of an explicit Gateway's waypoint is named as the Gateway.
    isWaypointAccount: (namespace, account) =>
      account === AUTOMATIC_WAYPOINT || facts.recorded(namespace, account)?.serviceAccount === account,
  };
}

function standingOf(pod: PodObject, facts: WaypointFacts): WaypointStanding {
  const { namespace, labels } = pod.metadata;
  const gateway = labels[LABEL_GATEWAY_NAME] ?? "";
  if (gateway === "") return foreign(`it has no label ${LABEL_GATEWAY_NAME}`);
  if (pod.hostNetwork) return foreign("it has the node's network");
  const recorded = facts.recorded(namespace, gateway);
  if (recorded === undefined) {
    return { kind: "not-seen", gateway, why: `no waypoint ${namespace}/${gateway} is recorded` };
  }
  if (pod.serviceAccount !== recorded.serviceAccount) {
    return foreign(`it runs as ${pod.serviceAccount}, the waypoint as ${recorded.serviceAccount}`);
  }
  return ownerChain(pod, { gateway, recorded, facts });
}

interface Claim {
  readonly gateway: string;
  readonly recorded: RecordedWaypoint;
  readonly facts: WaypointFacts;
}

/** Pod, ReplicaSet, Deployment: each link by uid, since names can be taken again. */
function ownerChain({ metadata, owner }: PodObject, { gateway, recorded, facts }: Claim): WaypointStanding {
  if (owner?.kind !== "ReplicaSet") return foreign("no ReplicaSet made it");
  const set = facts.replicaSet(metadata.namespace, owner.name);
  if (set === undefined) {
    return { kind: "not-seen", gateway, why: `ReplicaSet ${owner.name} has not been seen` };
  }
  if (set.uid !== owner.uid) return foreign(`its owner is an earlier ReplicaSet ${owner.name}`);
  if (set.owner?.kind !== "Deployment" || set.owner.uid !== recorded.deploymentUid) {
    return foreign(`ReplicaSet ${owner.name} is not of the waypoint's Deployment`);
  }
  return { kind: "waypoint", gateway };
}

function foreign(why: string): WaypointStanding {
  return { kind: "foreign", why };
}
