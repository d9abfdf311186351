/** Pure. The configuration of one waypoint from what it serves and every policy that could judge it. */
import type { ServiceKey, WorkloadUid } from "#core/model/ids.ts";
import type { RequestPolicy } from "#core/model/request-policy.ts";
import type { PathNormalization, WaypointConfig } from "#core/model/waypoint-config.ts";

export interface ServedObject<Name> {
  readonly name: Name;
  /** Those that judge it, in any order. */
  readonly policies: readonly RequestPolicy[];
}

export interface ServedByWaypoint {
  readonly name: string;
  readonly automatic: boolean;
  readonly pathNormalization: PathNormalization;
  readonly clientCertField: boolean;
  readonly services: readonly ServedObject<ServiceKey>[];
  readonly workloads: readonly ServedObject<WorkloadUid>[];
}

/** Equal inputs in any order give equal configurations. */
export function waypointConfig(served: ServedByWaypoint): WaypointConfig {
  const policies = new Map<string, RequestPolicy>();
  for (const object of [...served.services, ...served.workloads]) {
    for (const policy of object.policies) policies.set(policy.key, policy);
  }
  const keys = (list: readonly RequestPolicy[]): WaypointConfig["services"][number]["policies"] =>
    [...new Set(list.map((policy) => policy.key))].toSorted();
  return {
    name: served.name,
    automatic: served.automatic,
    pathNormalization: served.pathNormalization,
    clientCertField: served.clientCertField,
    services: served.services
      .map(({ name, policies: list }) => ({ service: name, policies: keys(list) }))
      .toSorted((a, b) => (a.service < b.service ? -1 : 1)),
    workloads: served.workloads
      .map(({ name, policies: list }) => ({ workload: name, policies: keys(list) }))
      .toSorted((a, b) => (a.workload < b.workload ? -1 : 1)),
    policies: [...policies.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1)),
  };
}
