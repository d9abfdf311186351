/** Pure. Which open connections a change of the mesh may have bound to a waypoint: nearly every change binds none. */
import type { ServiceKey, WorkloadUid } from "#core/model/ids.ts";
import { serviceKey } from "#core/model/ids.ts";
import type { MeshView, StateChange } from "#core/state/mesh-state.ts";
import type { ConnectionRecord } from "./connection-log.ts";
import { chooseOutboundRoute, isThroughWaypoint } from "./outbound-route.ts";

export interface NewlyBound {
  readonly services: ReadonlySet<ServiceKey>;
  readonly workloads: ReadonlySet<WorkloadUid>;
}

/** Changed services and workloads that have a waypoint now; undefined when there is none. */
export function newlyBound(view: MeshView, change: StateChange): NewlyBound | undefined {
  const services = new Set([...change.services].filter((key) => hasWaypoint(view.services.get(key))));
  const workloads = new Set([...change.workloads].filter((uid) => hasWaypoint(view.workloads.get(uid))));
  return services.size + workloads.size === 0 ? undefined : { services, workloads };
}

function hasWaypoint(
  bound: { readonly waypoint: unknown; readonly weightedWaypoints?: readonly unknown[] } | undefined,
): boolean {
  return bound !== undefined && (bound.waypoint !== undefined || (bound.weightedWaypoints ?? []).length > 0);
}

/** Whether an outbound connection that goes past every waypoint leads to one of them. */
export function touches({ services, workloads }: NewlyBound, record: ConnectionRecord): boolean {
  if (record.direction !== "outbound" || record.throughWaypoint === true) return false;
  const { service, destinationWorkload } = record;
  if (destinationWorkload !== undefined && workloads.has(destinationWorkload.uid)) return true;
  return service !== undefined && services.has(serviceKey(service.namespace, service.hostname));
}

/** Whether the application's dial would go through a waypoint now. */
export function mustMove(view: MeshView, record: ConnectionRecord, network: string): boolean {
  const { sourceWorkload: source, originalDestination: destination } = record;
  if (source === undefined || destination === undefined) return false;
  const request = { source, destination, network, isLocal: () => false, random: () => 0 };
  return isThroughWaypoint(chooseOutboundRoute(view, request));
}
