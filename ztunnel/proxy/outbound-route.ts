/**
 * Pure. Step O6: where a captured connection goes. Decides from one version of the mesh state and does nothing.
 * What it must never do: send in clear what is to travel in a tunnel, or go around a waypoint that is bound.
 */
import type { GatewayAddress } from "#core/model/address.ts";
import type { Service, WeightedWaypoint } from "#core/model/service.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import { formatSocketAddress, type SocketAddress, socketAddress } from "#core/net/socket-address.ts";
import { chooseEndpoint } from "#core/state/choose-endpoint.ts";
import type { MeshView } from "#core/state/mesh-state.ts";
import { resolveGateway } from "#core/state/resolve-gateway.ts";
import type { Reason } from "./response-flag.ts";

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
interface RouteTarget {
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

export type OutboundRoute = HboneRoute | LocalRoute | PassthroughRoute | RejectedRoute;

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
  if (workload.waypoint !== undefined && !isThatWaypoint(view, request, workload.waypoint)) {
    return waypointRoute(view, request, workload.waypoint, { service, workload });
  }
  return directRoute(request, { service, workload, address: destination });
}

function serviceRoute(view: MeshView, request: OutboundRequest, service: Service): OutboundRoute {
  const { source, destination, random } = request;
  const waypoint = sampleWaypoint(service, random);
  if (waypoint !== undefined) return waypointRoute(view, request, waypoint, { service, workload: undefined });
  if (service.loadBalancing?.mode === "passthrough") {
    return { kind: "passthrough", destination, service, workload: undefined };
  }
  const dialled = { network: request.network, ip: destination.ip };
  const servicePort = destination.port;
  const choice = chooseEndpoint(view, { service, servicePort, source, dialled, mode: "standard", random });
  if (choice.kind === "none") return { kind: "reject", reason: choice.reason, service, workload: undefined };
  return directRoute(request, {
    service,
    workload: choice.workload,
    address: socketAddress(choice.ip, choice.port),
  });
}

/** A canary between waypoints only with usable weights, else the primary one. */
function sampleWaypoint(service: Service, random: () => number): GatewayAddress | undefined {
  const usable: readonly WeightedWaypoint[] = service.weightedWaypoints.filter((w) => w.weight > 0);
  let left = random() * usable.reduce((sum, w) => sum + w.weight, 0);
  for (const { destination, weight } of usable) {
    if (left < weight) return destination;
    left -= weight;
  }
  return service.waypoint;
}

function waypointRoute(
  view: MeshView,
  request: OutboundRequest,
  gateway: GatewayAddress,
  target: RouteTarget,
): OutboundRoute {
  const resolved = resolveGateway(view, gateway, { ...request, dialledIp: request.destination.ip });
  if (resolved.kind === "unresolvable") return { kind: "reject", reason: "waypoint-unresolvable", ...target };
  const { workload, ip, port } = resolved;
  if (workload.network !== request.network) return { kind: "reject", reason: "other-network", ...target };
  const expectedIdentities = identities(resolved.service, workload);
  if (expectedIdentities.length === 0) {
    return { kind: "reject", reason: "destination-has-no-identity", ...target };
  }
  const hop = socketAddress(ip, port);
  const authority = request.destination;
  return {
    kind: "hbone",
    hop,
    authority,
    expectedIdentities,
    workload,
    service: target.service,
    waypoint: true,
  };
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

/** The service's additional names, then the workload's own. An empty account is no identity. */
function identities(service: Service | undefined, workload: Workload): readonly SpiffeId[] {
  const own = workloadIdentity(workload);
  return [...(service?.subjectAltNames ?? []), ...(own === undefined ? [] : [own])];
}

/** A waypoint reaches its own workloads directly: same identity, and the source is one of its endpoints. */
function isThatWaypoint(view: MeshView, request: OutboundRequest, gateway: GatewayAddress): boolean {
  const { source } = request;
  const resolved = resolveGateway(view, gateway, { ...request, dialledIp: request.destination.ip });
  if (resolved.kind === "unresolvable") return false;
  const identity = workloadIdentity(source);
  return (
    identity !== undefined && identity === workloadIdentity(resolved.workload) && isEndpoint(resolved, source)
  );
}

function isEndpoint(
  gateway: { readonly service: Service | undefined; readonly workload: Workload },
  source: Workload,
): boolean {
  if (gateway.service === undefined) return gateway.workload.uid === source.uid;
  return source.services.has(`${gateway.service.namespace}/${gateway.service.hostname}` as never);
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
    case "reject":
      return `reject ${route.reason}`;
  }
}
