/**
 * Pure. Step I4: which application port a CONNECT leads to. The address is always the accepted socket's own; what the
 * peer writes into `:authority` can only choose the port, or be refused. ztunnel's own ports are never dialled.
 */
import type { ConnectTarget } from "#core/hbone/connect-request.ts";
import type { GatewayAddress } from "#core/model/address.ts";
import { serviceKey } from "#core/model/ids.ts";
import type { Service } from "#core/model/service.ts";
import { ZTUNNEL_OWN_PORTS } from "#core/model/well-known.ts";
import type { Workload } from "#core/model/workload.ts";
import type { IpAddress } from "#core/net/ip.ts";
import { type SocketAddress, socketAddress } from "#core/net/socket-address.ts";
import type { MeshView } from "#core/state/mesh-state.ts";
import { isGatewayWorkload } from "#core/state/resolve-gateway.ts";
import type { Reason } from "./response-flag.ts";

export interface InboundRequest {
  /** The pod whose namespace accepted the connection. */
  readonly workload: Workload;
  /** Address of the accepted socket. */
  readonly localIp: IpAddress;
  readonly target: ConnectTarget;
  readonly network: string;
}

export type InboundRoute =
  | { readonly kind: "dial"; readonly destination: SocketAddress; readonly service: Service | undefined }
  | { readonly kind: "reject"; readonly reason: Reason };

export function chooseInboundRoute(view: MeshView, request: InboundRequest): InboundRoute {
  return request.target.kind === "address"
    ? addressRoute(view, request, request.target.address)
    : nameRoute(view, request);
}

function addressRoute(view: MeshView, request: InboundRequest, target: SocketAddress): InboundRoute {
  const { workload, localIp } = request;
  const isOwn = target.ip === localIp || workload.applicationTunnel !== undefined;
  if (!isOwn && !isWaypointOf(view, request, target.ip)) return { kind: "reject", reason: "wrong-authority" };
  return dial(request, target.port, undefined);
}

/** A name selects one of the services that this very workload is an endpoint of. */
function nameRoute(view: MeshView, request: InboundRequest): InboundRoute {
  const { workload, target } = request;
  if (target.kind !== "hostname") return { kind: "reject", reason: "wrong-authority" };
  const service = view.services.byHostname(target.hostname, workload.namespace);
  if (service === undefined) return { kind: "reject", reason: "destination-unknown" };
  const endpoint = view.services.endpoints(serviceKey(service.namespace, service.hostname)).get(workload.uid);
  if (endpoint === undefined) return { kind: "reject", reason: "wrong-authority" };
  const own = endpoint.ports.get(target.port) ?? 0;
  const declared = service.ports.find((p) => p.servicePort === target.port)?.targetPort ?? 0;
  return dial(request, own > 0 ? own : declared, service);
}

function dial(request: InboundRequest, port: number, service: Service | undefined): InboundRoute {
  const tunnelPort = request.workload.applicationTunnel?.port ?? 0;
  const final = tunnelPort > 0 ? tunnelPort : port;
  if (final === 0) return { kind: "reject", reason: "port-unknown" };
  if (ZTUNNEL_OWN_PORTS.has(final)) return { kind: "reject", reason: "own-port" };
  return { kind: "dial", destination: socketAddress(request.localIp, final), service };
}

/** A waypoint receives connections for the addresses that are bound to it. */
function isWaypointOf(view: MeshView, request: InboundRequest, ip: IpAddress): boolean {
  const at = { network: request.network, ip };
  const { workload } = request;
  const bound: readonly (GatewayAddress | undefined)[] = [
    view.workloads.byAddress(at)?.waypoint,
    ...serviceWaypoints(view.services.byAddress(at, workload.namespace)),
  ];
  return bound.some((gateway) => gateway !== undefined && isGatewayWorkload(view, gateway, workload));
}

function serviceWaypoints(service: Service | undefined): readonly (GatewayAddress | undefined)[] {
  return service === undefined
    ? []
    : [service.waypoint, ...service.weightedWaypoints.map((w) => w.destination)];
}
