/** Pure. The configuration in force, compiled: who is bound, and by which policies each is judged. Made once per configuration, never changed. */
import { compileRequestPolicies, type RequestPolicySet } from "#core/authz/request/policy-sets.ts";
import type { PolicyKey, ServiceKey, WorkloadUid } from "#core/model/ids.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";

export interface WaypointSnapshot {
  readonly config: WaypointConfig;
  /** Header fields that any policy reads. */
  readonly fieldsRead: ReadonlySet<string>;
  /** Bound services; each with what judges its requests before an endpoint is chosen. */
  readonly services: ReadonlyMap<ServiceKey, RequestPolicySet>;
  /** Bound workloads; each with what judges requests to it, whichever way they came. */
  readonly workloads: ReadonlyMap<WorkloadUid, RequestPolicySet>;
}

export function compileSnapshot(config: WaypointConfig): WaypointSnapshot {
  const compiled = compileRequestPolicies(config.policies);
  // Many workloads have the same policies: one set serves them all.
  const sets = new Map<string, RequestPolicySet>();
  const setOf = (keys: readonly PolicyKey[]): RequestPolicySet => {
    const name = keys.join(" ");
    const set = sets.get(name) ?? compiled.setOf(keys);
    sets.set(name, set);
    return set;
  };
  return {
    config,
    fieldsRead: compiled.fieldNames,
    services: new Map(config.services.map(({ service, policies }) => [service, setOf(policies)])),
    workloads: new Map(config.workloads.map(({ workload, policies }) => [workload, setOf(policies)])),
  };
}
