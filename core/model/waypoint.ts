/** Pure. Names by which a waypoint is known, and what makes it an automatic one. */
import type { GatewayAddress } from "./address.ts";
import { type PolicyKey, policyKey } from "./ids.ts";
import { HBONE_PORT } from "./well-known.ts";

/** Gateway, ServiceAccount, Deployment and Service of the waypoint that the controller makes for a namespace. Reserved. */
export const AUTOMATIC_WAYPOINT = "ambit-waypoint";
/** GatewayClass of waypoints, explicit and automatic. */
export const WAYPOINT_CLASS = "istio-waypoint";
/** On Gateways, by the controller alone: what it has made for them, and how far each binding has got. */
export const ANNOTATION_BINDING = "ambit.io/binding";
/** On Pods, and on Namespaces as their default: ports of the pods that are kept from the automatic waypoint. */
export const ANNOTATION_EXCLUDE_PORTS = "ambit.io/waypoint-exclude-ports";
/** On AuthorizationPolicies, and on Namespaces as their default: `immediately` holds callers while a waypoint is on its way. */
export const ANNOTATION_ENFORCE = "ambit.io/enforce";
export const TYPE_URL_WAYPOINT = "type.googleapis.com/ambit.waypoint.v1.WaypointConfig";

/** How services and workloads refer to the waypoint `gateway` of a namespace. */
export function waypointAddress(namespace: string, gateway: string, clusterDomain: string): GatewayAddress {
  return {
    destination: {
      kind: "hostname",
      name: { namespace, hostname: `${gateway}.${namespace}.svc.${clusterDomain}` },
    },
    hboneMtlsPort: HBONE_PORT,
  };
}

/** Whether a reference is to an automatic waypoint: only then ports declared TCP go past it, under their L4 policies. */
export function isAutomaticWaypoint({ destination }: GatewayAddress): boolean {
  return (
    destination.kind === "hostname" &&
    destination.name.hostname.startsWith(`${AUTOMATIC_WAYPOINT}.${destination.name.namespace}.svc.`)
  );
}

/**
 * Begins the name of the policies that refuse everybody but the waypoint at a workload; what follows are the ports, declared
 * TCP, on which they do not: `ambit_only_through_waypoint`, `ambit_only_through_waypoint_5432`.
 */
export const ONLY_THROUGH_WAYPOINT = "ambit_only_through_waypoint";

/** Whether a policy of this name (without namespace) means "not through the waypoint". No object of a user has such a name. */
export function isOnlyThroughWaypoint(policyName: string): boolean {
  return policyName === ONLY_THROUGH_WAYPOINT || policyName.startsWith(`${ONLY_THROUGH_WAYPOINT}_`);
}

const DENIES_HTTP = "ambit_denies_http_";

/**
 * Name of the policy without rules by which a workload says that a policy denies HTTP requests whoever sends them: a connection that begins like
 * HTTP is refused where ports count as TCP. No object of a user has an underscore in its name.
 */
export function deniesHttpName(policy: PolicyKey): string {
  return DENIES_HTTP + policy.replace("/", "_");
}

/** The policy behind such a name, if it is one. */
export function httpDenierOf(policyName: string): PolicyKey | undefined {
  if (!policyName.startsWith(DENIES_HTTP)) return undefined;
  const [namespace = "", name = ""] = policyName.slice(DENIES_HTTP.length).split("_");
  return policyKey(namespace, name);
}
