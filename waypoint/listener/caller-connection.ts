/** A caller's connection as the listener keeps it, whatever is spoken on it. */
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { Reason } from "../http/reasons.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import type { DestinationRoute } from "./target-route.ts";

export interface CallerConnection {
  /** The caller's. */
  readonly identity: SpiffeId;
  readonly route: DestinationRoute;
  /**
   * What is under way finishes; the caller is told to go elsewhere. `farewell`: the destination is not bound any more; requests that are on their way
   * are judged as they would have been before.
   */
  drain(farewell?: WaypointSnapshot): void;
  end(reason: Reason): void;
}

/** Whether requests to this destination are this waypoint's to judge. */
export function isBound(route: DestinationRoute, snapshot: WaypointSnapshot | undefined): boolean {
  return route.kind === "service"
    ? snapshot?.services.has(route.key) === true
    : snapshot?.workloads.has(route.workload.uid) === true;
}
