/** Pure. What services say is spoken at a workload's port. */
import type { AppProtocol, Service } from "../model/service.ts";
import type { Workload } from "../model/workload.ts";
import type { MeshView } from "./mesh-state.ts";

/** Nothing in HTTP is to be judged there. */
export function isTcpProtocol(protocol: AppProtocol): boolean {
  return protocol === "tcp" || protocol === "tls";
}

/** Undefined when the service has no such port. */
export function declaredProtocol(service: Service, servicePort: number): AppProtocol | undefined {
  return service.ports.find((port) => port.servicePort === servicePort)?.appProtocol;
}

/** Whether services declare `port` of the workload as TCP or TLS, and none of them anything else: HTTP wins. */
export function isDeclaredTcp(view: MeshView, workload: Workload, port: number): boolean {
  let isDeclared = false;
  for (const [key, own] of workload.services) {
    for (const { servicePort, targetPort, appProtocol } of view.services.get(key)?.ports ?? []) {
      if ((own.get(servicePort) || targetPort) !== port) continue;
      if (!isTcpProtocol(appProtocol)) return false;
      isDeclared = true;
    }
  }
  return isDeclared;
}
