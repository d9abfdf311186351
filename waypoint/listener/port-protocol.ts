/** Pure. What the services say about a port. Where two declare one port of a workload differently, HTTP wins: else one is a way around the other. */
import { unreachable } from "#core/base/invariant.ts";
import { type ServiceKey, serviceKey } from "#core/model/ids.ts";
import type { AppProtocol, Service, ServicePort } from "#core/model/service.ts";
import type { Workload } from "#core/model/workload.ts";
import type { MeshView } from "#core/state/mesh-state.ts";

/** "http": declared; "detect": the first bytes tell; "tcp": declared TCP or TLS. */
export type PortProtocol = "http" | "detect" | "tcp";

/** A port of a service behind which a port of a workload is. */
export interface PortOfService {
  readonly key: ServiceKey;
  readonly service: Service;
  readonly port: ServicePort;
}

const RANK: Readonly<Record<PortProtocol, number>> = { tcp: 0, detect: 1, http: 2 };

export function portProtocol(declared: AppProtocol): PortProtocol {
  switch (declared) {
    case "http11":
    case "http2":
    case "grpc":
      return "http";
    case "tcp":
    case "tls":
      return "tcp";
    case "unknown":
      return "detect";
    default:
      return unreachable(declared);
  }
}

/** Every service port that leads to `port` of the workload. */
export function servicesOnPort(view: MeshView, workload: Workload, port: number): readonly PortOfService[] {
  const found: PortOfService[] = [];
  for (const [key, own] of workload.services) {
    const service = view.services.get(key);
    if (service === undefined) continue;
    for (const declared of service.ports) {
      if (targetPort(declared, own) === port) found.push({ key, service, port: declared });
    }
  }
  return found;
}

/** Of a workload's port: undeclared when no service leads to it. Its owner's word counts where services say nothing. */
export function workloadPortProtocol(view: MeshView, workload: Workload, port: number): PortProtocol {
  let best: PortProtocol | undefined;
  for (const { port: declared } of servicesOnPort(view, workload, port))
    best = higher(best, portProtocol(declared.appProtocol));
  const isSilent = best === undefined || best === "detect";
  return isSilent && workload.excludedPorts.includes(port) ? "tcp" : (best ?? "detect");
}

/** Of a service's port: what it declares, unless more, or its owner's word where it says nothing, is to be heard of it at its endpoints. */
export function servicePortProtocol(view: MeshView, service: Service, port: ServicePort): PortProtocol {
  const declared = portProtocol(port.appProtocol);
  if (declared === "http") return declared;
  let best: PortProtocol | undefined;
  for (const endpoint of view.services.endpoints(serviceKey(service.namespace, service.hostname)).values()) {
    const workload = view.workloads.get(endpoint.workloadUid);
    const own = workload && workloadPortProtocol(view, workload, targetPort(port, endpoint.ports));
    best = higher(best, own ?? declared);
  }
  return best ?? declared;
}

function targetPort(declared: ServicePort, own: ReadonlyMap<number, number>): number {
  const named = own.get(declared.servicePort) ?? 0;
  return named > 0 ? named : declared.targetPort;
}

function higher(a: PortProtocol | undefined, b: PortProtocol): PortProtocol {
  return a === undefined || RANK[b] > RANK[a] ? b : a;
}
