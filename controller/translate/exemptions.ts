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

/** Name, without namespace, of the policy that refuses everybody but the waypoint on all ports but these. */
export function onlyThroughName(tcpPorts: readonly number[]): string {
  return [ONLY_THROUGH_WAYPOINT, ...tcpPorts.toSorted((a, b) => a - b)].join("_");
}

/** The policy of such a name: the name says all of it. */
export function onlyThroughWaypoint(namespace: string, name: string, trustDomain: string): Authorization {
  const ports = name.slice(ONLY_THROUGH_WAYPOINT.length).split("_").filter(Boolean).map(Number);
  const waypoint = waypointPrincipal(trustDomain, namespace, AUTOMATIC_WAYPOINT);
  const match = {
    ...EMPTY_MATCH,
    principals: { any: [], none: [{ kind: "exact", value: waypoint } as const] },
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
