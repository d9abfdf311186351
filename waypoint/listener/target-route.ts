/**
 * Pure. Step W2: what a CONNECT is for, by its `:authority` alone. Only what is bound to this waypoint is a destination; the address that was
 * dialled decides about route and policies, never a `host` inside.
 */
import type { ConnectTarget } from "#core/hbone/connect-request.ts";
import { type ServiceKey, serviceKey } from "#core/model/ids.ts";
import type { Service, ServicePort } from "#core/model/service.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import type { IpAddress } from "#core/net/ip.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";
import type { MeshView } from "#core/state/mesh-state.ts";
import type { Reason } from "../http/reasons.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import { type PortProtocol, servicePortProtocol, workloadPortProtocol } from "./port-protocol.ts";

export interface TargetQuery {
  readonly target: ConnectTarget;
  readonly network: string;
  /** Address of the accepted socket: our own. */
  readonly localIp: IpAddress;
  readonly ownIdentity: SpiffeId;
}

export interface ServiceRoute {
  readonly kind: "service";
  readonly key: ServiceKey;
  readonly service: Service;
  readonly port: ServicePort;
  /** As it was dialled: what service policies see. */
  readonly dialled: SocketAddress;
  readonly protocol: PortProtocol;
}

export interface WorkloadRoute {
  readonly kind: "workload";
  readonly workload: Workload;
  readonly dialled: SocketAddress;
  readonly protocol: PortProtocol;
}

export type DestinationRoute = ServiceRoute | WorkloadRoute;

export type TargetRoute =
  | DestinationRoute
  | {
      readonly kind: "refused";
      readonly reason: Extract<Reason, "not-bound" | "itself" | "no-such-port">;
    };

export function chooseTargetRoute(
  view: MeshView,
  snapshot: WaypointSnapshot,
  query: TargetQuery,
): TargetRoute {
  const { target } = query;
  if (target.kind === "hostname") {
    const service = boundByName(view, snapshot, target.hostname);
    return service === undefined ? NOT_BOUND : nameRoute(view, service, target.port, query);
  }
  const { address } = target;
  if (address.ip === query.localIp) return ITSELF;
  const service = boundByAddress(view, snapshot, address.ip, query.network);
  if (service !== undefined) return serviceRoute(view, service, address);
  return workloadRoute(view, snapshot, address, query);
}

function serviceRoute(view: MeshView, service: Service, dialled: SocketAddress): TargetRoute {
  const port = service.ports.find(({ servicePort }) => servicePort === dialled.port);
  if (port === undefined) return NO_SUCH_PORT;
  const key = serviceKey(service.namespace, service.hostname);
  const protocol = servicePortProtocol(view, service, port);
  return { kind: "service", key, service, port, dialled, protocol };
}

/** A caller on another network has no address of the service: its first one here stands for it. */
function nameRoute(view: MeshView, service: Service, port: number, { network }: TargetQuery): TargetRoute {
  const vip = service.vips.find((address) => address.network === network);
  return vip === undefined ? NOT_BOUND : serviceRoute(view, service, { ip: vip.ip, port });
}

function workloadRoute(
  view: MeshView,
  snapshot: WaypointSnapshot,
  dialled: SocketAddress,
  { network, ownIdentity }: TargetQuery,
): TargetRoute {
  const workload = view.workloads.byAddress({ network, ip: dialled.ip });
  if (workload === undefined) return NOT_BOUND;
  // Also another waypoint pod of our own: it would send us round in circles.
  if (workloadIdentity(workload) === ownIdentity) return ITSELF;
  if (!snapshot.workloads.has(workload.uid)) return NOT_BOUND;
  const protocol = workloadPortProtocol(view, workload, dialled.port);
  return { kind: "workload", workload, dialled, protocol };
}

/** An address may be claimed by several services: one that is bound here counts. */
function boundByAddress(
  view: MeshView,
  snapshot: WaypointSnapshot,
  ip: IpAddress,
  network: string,
): Service | undefined {
  const namespace = ownNamespace(snapshot);
  const first = view.services.byAddress({ network, ip }, namespace);
  if (first !== undefined && isBound(snapshot, first)) return first;
  return boundServices(view, snapshot).find(({ vips }) =>
    vips.some((vip) => vip.ip === ip && vip.network === network),
  );
}

function boundByName(view: MeshView, snapshot: WaypointSnapshot, hostname: string): Service | undefined {
  const first = view.services.byHostname(hostname, ownNamespace(snapshot));
  if (first !== undefined && isBound(snapshot, first)) return first;
  return boundServices(view, snapshot).find((service) => service.hostname === hostname);
}

function boundServices(view: MeshView, snapshot: WaypointSnapshot): readonly Service[] {
  return [...snapshot.services.keys()].flatMap((key) => view.services.get(key) ?? []);
}

function isBound(snapshot: WaypointSnapshot, { namespace, hostname }: Service): boolean {
  return snapshot.services.has(serviceKey(namespace, hostname));
}

function ownNamespace({ config }: WaypointSnapshot): string {
  return config.name.slice(0, config.name.indexOf("/"));
}

const NOT_BOUND: TargetRoute = { kind: "refused", reason: "not-bound" };
const ITSELF: TargetRoute = { kind: "refused", reason: "itself" };
const NO_SUCH_PORT: TargetRoute = { kind: "refused", reason: "no-such-port" };
