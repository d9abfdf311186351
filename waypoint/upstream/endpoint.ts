/** Pure. Where a request goes: one workload at one address and port, and who must be found there. */
import type { Service } from "#core/model/service.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";
import { chooseEndpoint } from "#core/state/choose-endpoint.ts";
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
    return workload === undefined ? none("no-healthy-endpoint") : reach(workload, route.dialled, search);
  }
  const service = search.view.services.get(route.key);
  return service === undefined ? none("no-healthy-endpoint") : findOfService(service, route, search);
}

function findOfService(service: Service, route: ServiceRoute, search: EndpointSearch): EndpointOutcome {
  const { view, source, network, random } = search;
  const choice = chooseEndpoint(view, {
    service,
    servicePort: route.dialled.port,
    source,
    dialled: { network, ip: route.dialled.ip },
    mode: "standard",
    random,
    isEligible: (workload) => !search.without.includes(workload) && isKnown(workload, search.snapshot),
  });
  if (choice.kind === "none") return none(choice.reason);
  return reach(choice.workload, { ip: choice.ip, port: choice.port }, search);
}

/**
 * An automatic waypoint is told of every enrolled endpoint and what judges it. One that it has not been told of yet may be under policies that it
 * does not know: it gets nothing.
 */
function isKnown(workload: Workload, { config, workloads }: WaypointSnapshot): boolean {
  return !config.automatic || workload.tunnelProtocol === "none" || workloads.has(workload.uid);
}

function reach(workload: Workload, address: SocketAddress, search: EndpointSearch): EndpointOutcome {
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
