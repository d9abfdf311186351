/** Pure. From a waypoint reference to the one workload, address and port that a tunnel is opened to. */
import type { GatewayAddress } from "../model/address.ts";
import { serviceKey } from "../model/ids.ts";
import type { Service } from "../model/service.ts";
import type { Workload } from "../model/workload.ts";
import type { IpAddress } from "../net/ip.ts";
import { chooseEndpoint } from "./choose-endpoint.ts";
import type { MeshView } from "./mesh-state.ts";

export interface GatewayCaller {
  readonly source: Workload;
  readonly network: string;
  /** Address that the application dialled; its family is preferred. */
  readonly dialledIp: IpAddress;
  readonly random: () => number;
}

export type ResolvedGateway =
  | {
      readonly kind: "resolved";
      readonly workload: Workload;
      readonly service: Service | undefined;
      readonly ip: IpAddress;
      readonly port: number;
    }
  | { readonly kind: "unresolvable" };

const UNRESOLVABLE = { kind: "unresolvable" } as const;

/** Service first, then workload, for both forms of the reference. */
export function resolveGateway(
  view: MeshView,
  gateway: GatewayAddress,
  caller: GatewayCaller,
): ResolvedGateway {
  const service = gatewayService(view, gateway);
  const port = gateway.hboneMtlsPort;
  if (service !== undefined) {
    const { source, random } = caller;
    const dialled = { network: caller.network, ip: caller.dialledIp };
    const choice = chooseEndpoint(view, {
      service,
      servicePort: port,
      source,
      dialled,
      mode: "waypoint",
      random,
    });
    return choice.kind === "none" ? UNRESOLVABLE : { ...choice, kind: "resolved", service };
  }
  const workload = gatewayWorkload(view, gateway);
  const ip = gateway.destination.kind === "address" ? gateway.destination.address.ip : workload?.addresses[0];
  if (workload === undefined || ip === undefined) return UNRESOLVABLE;
  return { kind: "resolved", workload, service: undefined, ip, port };
}

/**
 * Whether `workload` is (an endpoint of) the gateway. Decides if it may receive connections for addresses that are not
 * its own, so an unknown gateway is nobody.
 */
export function isGatewayWorkload(view: MeshView, gateway: GatewayAddress, workload: Workload): boolean {
  const service = gatewayService(view, gateway);
  if (service !== undefined) {
    return view.services.endpoints(serviceKey(service.namespace, service.hostname)).has(workload.uid);
  }
  return gatewayWorkload(view, gateway)?.uid === workload.uid;
}

function gatewayService(view: MeshView, { destination }: GatewayAddress): Service | undefined {
  if (destination.kind === "address") return view.services.byAddress(destination.address, "");
  return view.services.get(serviceKey(destination.name.namespace, destination.name.hostname));
}

function gatewayWorkload(view: MeshView, { destination }: GatewayAddress): Workload | undefined {
  if (destination.kind === "address") return view.workloads.byAddress(destination.address);
  return view.workloads.byHostname(destination.name);
}
