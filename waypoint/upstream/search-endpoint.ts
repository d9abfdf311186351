/** An endpoint for a caller's connection, with what that knows. */
import type { Workload } from "#core/model/workload.ts";
import type { Caller } from "../listener/caller.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import type { EndpointOutcome } from "./endpoint.ts";
import { ownWorkload } from "./own-workload.ts";

export function searchEndpoint(
  { route, context, endpoints }: Caller,
  snapshot: WaypointSnapshot,
  without: readonly Workload[],
): EndpointOutcome {
  const { deps } = context;
  const { network, identity } = deps.options;
  return endpoints.find(route, {
    view: deps.mesh,
    snapshot,
    source: ownWorkload(deps),
    network,
    ownIdentity: identity,
    random: deps.random,
    without,
  });
}
