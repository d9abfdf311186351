/**
 * Pure. Step O6: where a captured connection goes. Decides from one version of the mesh state and does nothing.
 * What it must never do: send in clear what is to travel in a tunnel, or go around a waypoint that is bound.
 */
import type { GatewayAddress } from "#core/model/address.ts";
import type { Service } from "#core/model/service.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import type { Workload } from "#core/model/workload.ts";
import { formatSocketAddress, type SocketAddress, socketAddress } from "#core/net/socket-address.ts";
import { chooseEndpoint } from "#core/state/choose-endpoint.ts";
import type { MeshView } from "#core/state/mesh-state.ts";
import type { Reason } from "./response-flag.ts";
import {
  automaticWaypointOf,
  identities,
  waypointOfService,
  waypointOfWorkload,
  waypointRoute,
} from "./waypoint-route.ts";

export interface OutboundRequest {
  readonly source: Workload;
  /** Original destination: the accepted socket's local address. */
  readonly destination: SocketAddress;
  /** Network of this ztunnel. */
  readonly network: string;
  /** Whether this ztunnel itself serves the pod of that workload. */
  readonly isLocal: (workload: Workload) => boolean;
  readonly random: () => number;
}

/** What was addressed, for log lines and metrics; absent parts are unknown to the mesh. */
export interface RouteTarget {
  readonly service: Service | undefined;
  readonly workload: Workload | undefined;
}

export interface HboneRoute extends RouteTarget {
  readonly kind: "hbone";
  /** TCP destination of the tunnel. */
  readonly hop: SocketAddress;
  /** `:authority` of the CONNECT. */
  readonly authority: SocketAddress;
  /** The peer must prove to be one of these; never empty. */
  readonly expectedIdentities: readonly SpiffeId[];
  readonly workload: Workload;
  /** Whether the hop is a waypoint, which carries the connection on. */
  readonly waypoint: boolean;
}

/** The destination pod is served by this process: no tunnel is needed after the same authorization. */
export interface LocalRoute extends RouteTarget {
  readonly kind: "local";
  readonly destination: SocketAddress;
  readonly workload: Workload;
  /** What to do when the pod turns out not to hold the address at this moment. */
  readonly tunnel: HboneRoute;
}

export interface PassthroughRoute extends RouteTarget {
  readonly kind: "passthrough";
  readonly destination: SocketAddress;
}

interface RejectedRoute extends RouteTarget {
  readonly kind: "reject";
  readonly reason: Reason;
}

/** A waypoint is bound, and there is none that could take the connection now. Never a way around it. */
export interface WaitingRoute extends RouteTarget {
  readonly kind: "wait";
  readonly gateway: GatewayAddress;
  readonly authority: SocketAddress;
}

export type OutboundRoute = HboneRoute | LocalRoute | PassthroughRoute | RejectedRoute | WaitingRoute;

interface Upstream {
  readonly service: Service | undefined;
  readonly workload: Workload;
  readonly address: SocketAddress;
}

/** Services are looked up before workloads, so that an address claimed by both never loses its waypoint. */
export function chooseOutboundRoute(view: MeshView, request: OutboundRequest): OutboundRoute {
  const { source, destination } = request;
  const dialled = { network: request.network, ip: destination.ip };
  const service = view.services.byAddress(dialled, source.namespace);
  if (service !== undefined) return serviceRoute(view, request, service);
  const workload = view.workloads.byAddress(dialled);
  if (workload === undefined) return { kind: "passthrough", destination, service, workload };
  const waypoint = waypointOfWorkload(view, request, workload);
  if (waypoint !== undefined) {
    return waypointRoute(view, request, waypoint, { service, workload, authority: destination });
  }
  return directRoute(request, { service, workload, address: destination });
}

function serviceRoute(view: MeshView, request: OutboundRequest, service: Service): OutboundRoute {
  const { source, destination, random } = request;
  const unknown = { service, workload: undefined };
  const waypoint = waypointOfService(view, request, service);
  if (waypoint !== undefined) {
    return waypointRoute(view, request, waypoint, { ...unknown, authority: destination });
  }
  if (service.loadBalancing?.mode === "passthrough") return { kind: "passthrough", destination, ...unknown };
  const dialled = { network: request.network, ip: destination.ip };
  const servicePort = destination.port;
  const choice = chooseEndpoint(view, { service, servicePort, source, dialled, mode: "standard", random });
  if (choice.kind === "none") return { kind: "reject", reason: choice.reason, ...unknown };
  const address = socketAddress(choice.ip, choice.port);
  const bound = automaticWaypointOf(view, request, service, { workload: choice.workload, address });
  if (bound !== undefined) {
    return waypointRoute(view, request, bound.gateway, { ...unknown, authority: bound.authority });
  }
  return directRoute(request, { service, workload: choice.workload, address });
}

function directRoute(request: OutboundRequest, upstream: Upstream): OutboundRoute {
  const { service, workload, address } = upstream;
  if (workload.network !== request.network)
    return { kind: "reject", reason: "other-network", service, workload };
  if (workload.tunnelProtocol === "none") {
    return { kind: "passthrough", destination: address, service, workload };
  }
  const expectedIdentities = identities(service, workload);
  if (expectedIdentities.length === 0) {
    return { kind: "reject", reason: "destination-has-no-identity", service, workload };
  }
  const hop = socketAddress(address.ip, HBONE_PORT);
  const tunnel = { hop, authority: address, expectedIdentities, workload, service, waypoint: false } as const;
  if (!request.isLocal(workload)) return { kind: "hbone", ...tunnel };
  return { kind: "local", destination: address, workload, service, tunnel: { kind: "hbone", ...tunnel } };
}

/** Whether the connection goes through a waypoint, or is to wait until it can. */
export function isThroughWaypoint(route: OutboundRoute): boolean {
  return route.kind === "wait" || (route.kind === "hbone" && route.waypoint);
}

/** For messages: where the route leads. */
export function describeRoute(route: OutboundRoute): string {
  switch (route.kind) {
    case "hbone":
      return `hbone ${formatSocketAddress(route.hop)} for ${formatSocketAddress(route.authority)}`;
    case "local":
      return `local ${formatSocketAddress(route.destination)}`;
    case "passthrough":
      return `passthrough ${formatSocketAddress(route.destination)}`;
    case "wait":
      return `wait for a waypoint to ${formatSocketAddress(route.authority)}`;
    case "reject":
      return `reject ${route.reason}`;
  }
}
