/** `findEndpoint` with what a caller's connection knows. */
import type { Workload } from "#core/model/workload.ts";
import type { Caller } from "../listener/caller.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import { type EndpointOutcome, findEndpoint } from "./endpoint.ts";
import { ownWorkload } from "./own-workload.ts";

export function searchEndpoint(
  { route, context }: Caller,
  snapshot: WaypointSnapshot,
  without: readonly Workload[],
): EndpointOutcome {
  const { deps } = context;
  const { network, identity } = deps.options;
  return findEndpoint(route, {
    view: deps.mesh,
    snapshot,
    source: ownWorkload(deps),
    network,
    ownIdentity: identity,
    random: deps.random,
    without,
  });
}
