/**
 * Pure. Destination rules that let an automatic waypoint through (l4 policies were written about callers, and judge them at the
 * waypoint): DENY rules spare it, and where an ALLOW set covers a workload it is let in. A rule in each ALLOW policy instead of
 * a policy of its own: where no ALLOW policy covers a workload, there must be none for the waypoint either, at any moment.
 */
import {
  type Authorization,
  type AuthorizationRule,
  EMPTY_MATCH,
  type StringMatch,
} from "#core/model/authorization.ts";
import { AUTOMATIC_WAYPOINT, ONLY_THROUGH_WAYPOINT } from "#core/model/waypoint.ts";

/** As principals are compared: without the scheme. */
export function waypointPrincipal(trustDomain: string, namespace: string, account: string): string {
  return `${trustDomain}/ns/${namespace}/sa/${account}`;
}

/** `principals`: of the waypoints that pass; none leaves the policy as it is. */
export function sparingWaypoints(policy: Authorization, principals: readonly string[]): Authorization {
  if (principals.length === 0) return policy;
  const matches = principals.map((value): StringMatch => ({ kind: "exact", value }));
  if (policy.action === "allow") {
    const entry = { ...EMPTY_MATCH, principals: { any: matches, none: [] } };
    return { ...policy, rules: [...policy.rules, { clauses: [{ matches: [entry] }] }] };
  }
  const others = { ...EMPTY_MATCH, principals: { any: [], none: matches } };
  return {
    ...policy,
    rules: policy.rules.map((rule): AuthorizationRule => ({
      clauses: [...rule.clauses, { matches: [others] }],
    })),
  };
}

export interface WaypointName {
  readonly namespace: string;
  readonly name: string;
}

/**
 * Name, without namespace, of the policy that refuses everybody but the waypoint, and these others, on all ports but these:
 * `ambit_only_through_waypoint_5432_own.shop`.
 */
export function onlyThroughName(tcpPorts: readonly number[], others: readonly WaypointName[]): string {
  const also = others.map(({ namespace, name }) => `${name}.${namespace}`).toSorted();
  return [ONLY_THROUGH_WAYPOINT, ...tcpPorts.toSorted((a, b) => a - b), ...also].join("_");
}

/** The policy of such a name: the name says all of it. */
export function onlyThroughWaypoint(namespace: string, name: string, trustDomain: string): Authorization {
  const parts = name.slice(ONLY_THROUGH_WAYPOINT.length).split("_").filter(Boolean);
  const ports = parts.filter((part) => !part.includes(".")).map(Number);
  const others = parts.filter((part) => part.includes(".")).map(splitName);
  const principals = [{ namespace, name: AUTOMATIC_WAYPOINT }, ...others].map((one): StringMatch => ({
    kind: "exact",
    value: waypointPrincipal(trustDomain, one.namespace, one.name),
  }));
  const match = {
    ...EMPTY_MATCH,
    principals: { any: [], none: principals },
    destinationPorts: { any: [], none: ports },
  };
  return {
    name,
    namespace,
    scope: "workload-selector",
    action: "deny",
    rules: [{ clauses: [{ matches: [match] }] }],
    dryRun: false,
  };
}

/** No namespace has a dot in its name. */
function splitName(text: string): WaypointName {
  const dot = text.lastIndexOf(".");
  return { name: text.slice(0, dot), namespace: text.slice(dot + 1) };
}
