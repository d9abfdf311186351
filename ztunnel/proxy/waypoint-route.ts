/**
 * Pure. Part of O6: what a bound waypoint changes. Under an automatic waypoint, ports that count as TCP (declared so, or kept from it) go past it,
 * since the destination judges them by its L4 policies; everything else goes through the waypoint or nowhere.
 */
import type { GatewayAddress } from "#core/model/address.ts";
import type { Service, WeightedWaypoint } from "#core/model/service.ts";
import { type SpiffeId, spiffeId } from "#core/model/spiffe-id.ts";
import { AUTOMATIC_WAYPOINT, isAutomaticWaypoint } from "#core/model/waypoint.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import { type SocketAddress, socketAddress } from "#core/net/socket-address.ts";
import { isDeclaredTcp, isServicePortTcp } from "#core/state/declared-ports.ts";
import type { MeshView } from "#core/state/mesh-state.ts";
import { resolveGateway } from "#core/state/resolve-gateway.ts";
import type { OutboundRequest, OutboundRoute, RouteTarget } from "./outbound-route.ts";

/** The waypoint of a service's port; undefined: none, or the port goes past it as far as the service is concerned. */
export function waypointOfService(
  view: MeshView,
  request: OutboundRequest,
  service: Service,
): GatewayAddress | undefined {
  const waypoint = sampleWaypoint(service, request.random);
  if (waypoint === undefined || !isAutomaticWaypoint(waypoint)) return waypoint;
  return isServicePortTcp(view, service, request.destination.port) ? undefined : waypoint;
}

export interface BoundTo {
  readonly gateway: GatewayAddress;
  /** What the waypoint is asked for: something that is bound to it. */
  readonly authority: SocketAddress;
}

/** The automatic waypoint without which an endpoint's port refuses everybody, whichever service led there. */
export function automaticWaypointOf(
  view: MeshView,
  request: OutboundRequest,
  service: Service,
  endpoint: { readonly workload: Workload; readonly address: SocketAddress },
): BoundTo | undefined {
  const { workload, address } = endpoint;
  const ofService = automatic(service.waypoint);
  const gateway = ofService ?? automatic(workload.waypoint);
  if (gateway === undefined || isDeclaredTcp(view, workload, address.port)) return undefined;
  return { gateway, authority: ofService === undefined ? address : request.destination };
}

function automatic(waypoint: GatewayAddress | undefined): GatewayAddress | undefined {
  return waypoint !== undefined && isAutomaticWaypoint(waypoint) ? waypoint : undefined;
}

/** The waypoint of a workload that is dialled by its own address. */
export function waypointOfWorkload(
  view: MeshView,
  request: OutboundRequest,
  workload: Workload,
): GatewayAddress | undefined {
  const { waypoint } = workload;
  if (waypoint === undefined || isThatWaypoint(view, request, waypoint)) return undefined;
  const isPast = isAutomaticWaypoint(waypoint) && isDeclaredTcp(view, workload, request.destination.port);
  return isPast ? undefined : waypoint;
}

/** `authority`: what the waypoint is asked for. */
export function waypointRoute(
  view: MeshView,
  request: OutboundRequest,
  gateway: GatewayAddress,
  target: RouteTarget & { readonly authority: SocketAddress },
): OutboundRoute {
  const { service, workload: addressed, authority } = target;
  const refused = { service, workload: addressed };
  const resolved = resolveGateway(view, gateway, { ...request, dialledIp: request.destination.ip });
  if (resolved.kind === "unresolvable") return { kind: "wait", gateway, authority, ...refused };
  const { workload, ip, port } = resolved;
  if (workload.network !== request.network) return { kind: "reject", reason: "other-network", ...refused };
  const expectedIdentities = waypointIdentities(gateway, resolved.service, workload);
  if (expectedIdentities.length === 0) {
    return { kind: "reject", reason: "destination-has-no-identity", ...refused };
  }
  const hop = socketAddress(ip, port);
  return { kind: "hbone", hop, authority, expectedIdentities, workload, service, waypoint: true };
}

/** An automatic waypoint has one identity, whatever pod claims to be its endpoint. */
function waypointIdentities(
  gateway: GatewayAddress,
  service: Service | undefined,
  workload: Workload,
): readonly SpiffeId[] {
  const { destination } = gateway;
  if (!isAutomaticWaypoint(gateway) || destination.kind !== "hostname") return identities(service, workload);
  const { trustDomain } = workload;
  const { namespace } = destination.name;
  return [spiffeId({ trustDomain, namespace, serviceAccount: AUTOMATIC_WAYPOINT })];
}

/** The service's additional names, then the workload's own. An empty account is no identity. */
export function identities(service: Service | undefined, workload: Workload): readonly SpiffeId[] {
  const own = workloadIdentity(workload);
  return [...(service?.subjectAltNames ?? []), ...(own === undefined ? [] : [own])];
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
