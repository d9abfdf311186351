/** Pure. Where a request goes: one workload at one address and port, and who must be found there. */
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";
import { chooseEndpoint, type EndpointQuery } from "#core/state/choose-endpoint.ts";
import type { MeshView } from "#core/state/mesh-state.ts";
import type { Reason } from "../http/reasons.ts";
import type { DestinationRoute, ServiceRoute } from "../listener/target-route.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";

export interface Endpoint {
  readonly workload: Workload;
  /** The application's. */
  readonly address: SocketAddress;
  /** Whom the tunnel must lead to; undefined: the workload has none, and is reached as TCP. */
  readonly identity: SpiffeId | undefined;
}

export type EndpointOutcome =
  | { readonly kind: "endpoint"; readonly endpoint: Endpoint }
  | { readonly kind: "none"; readonly reason: Reason };

export interface EndpointSearch {
  readonly view: MeshView;
  readonly snapshot: WaypointSnapshot;
  /** The waypoint itself: its locality ranks endpoints. */
  readonly source: Workload;
  readonly network: string;
  readonly ownIdentity: SpiffeId;
  readonly random: () => number;
  /** Endpoints that were tried in vain. */
  readonly without: readonly Workload[];
}

export function findEndpoint(route: DestinationRoute, search: EndpointSearch): EndpointOutcome {
  if (route.kind === "workload") {
    const workload = search.view.workloads.get(route.workload.uid);
    return workload === undefined
      ? none("no-healthy-endpoint")
      : reachEndpoint(workload, route.dialled, search);
  }
  return findOfService(route, search);
}

function findOfService(route: ServiceRoute, search: EndpointSearch): EndpointOutcome {
  const query = endpointQuery(route, search);
  if (query === undefined) return none("no-healthy-endpoint");
  const choice = chooseEndpoint(search.view, query);
  if (choice.kind === "none") return none(choice.reason);
  return reachEndpoint(choice.workload, { ip: choice.ip, port: choice.port }, search);
}

/** Undefined: the service is gone. */
export function endpointQuery(route: ServiceRoute, search: EndpointSearch): EndpointQuery | undefined {
  const { view, source, network, random, without, snapshot } = search;
  const service = view.services.get(route.key);
  if (service === undefined) return undefined;
  return {
    service,
    servicePort: route.dialled.port,
    source,
    dialled: { network, ip: route.dialled.ip },
    mode: "standard",
    random,
    isEligible: (workload) => !without.includes(workload) && isKnown(workload, snapshot),
  };
}

/**
 * An automatic waypoint is told of every enrolled endpoint and what judges it. One that it has not been told of yet may be under policies that it
 * does not know: it gets nothing.
 */
function isKnown(workload: Workload, { config, workloads }: WaypointSnapshot): boolean {
  return !config.automatic || workload.tunnelProtocol === "none" || workloads.has(workload.uid);
}

export function reachEndpoint(
  workload: Workload,
  address: SocketAddress,
  search: EndpointSearch,
): EndpointOutcome {
  if (workload.network !== search.network) return none("other-network");
  if (workload.tunnelProtocol === "none") {
    return { kind: "endpoint", endpoint: { workload, address, identity: undefined } };
  }
  const identity = workloadIdentity(workload);
  if (identity === undefined) return none("destination-has-no-identity");
  if (identity === search.ownIdentity) return none("itself");
  return { kind: "endpoint", endpoint: { workload, address, identity } };
}

function none(reason: Reason): EndpointOutcome {
  return { kind: "none", reason };
}
