/** Pure. What is said to be spoken at ports, by services and by whoever keeps a port from waypoints. */
import { serviceKey } from "../model/ids.ts";
import type { AppProtocol, Service } from "../model/service.ts";
import type { Workload } from "../model/workload.ts";
import type { MeshView } from "./mesh-state.ts";

/** Nothing in HTTP is to be judged there. */
function isTcpProtocol(protocol: AppProtocol): boolean {
  return protocol === "tcp" || protocol === "tls";
}

/**
 * Whether `port` of the workload counts as TCP: services declare it so and none anything else, or its owner keeps it from waypoints and no service
 * declares HTTP there. HTTP wins.
 */
export function isDeclaredTcp(view: MeshView, workload: Workload, port: number): boolean {
  const isExcluded = workload.excludedPorts.includes(port);
  let isTcp = isExcluded;
  for (const [key, own] of workload.services) {
    for (const { servicePort, targetPort, appProtocol } of view.services.get(key)?.ports ?? []) {
      if ((own.get(servicePort) || targetPort) !== port) continue;
      if (isTcpProtocol(appProtocol)) isTcp = true;
      else if (!isExcluded || appProtocol !== "unknown") return false;
    }
  }
  return isTcp;
}

/** Whether a port counts as TCP as far as the service is concerned: it says so, or says nothing and every endpoint's own port does. */
export function isServicePortTcp(view: MeshView, service: Service, servicePort: number): boolean {
  const declared = service.ports.find((port) => port.servicePort === servicePort);
  if (declared === undefined) return false;
  if (declared.appProtocol !== "unknown") return isTcpProtocol(declared.appProtocol);
  const endpoints = view.services.endpoints(serviceKey(service.namespace, service.hostname));
  for (const { workloadUid, ports } of endpoints.values()) {
    const workload = view.workloads.get(workloadUid);
    const port = ports.get(servicePort) || declared.targetPort;
    if (workload === undefined || !isDeclaredTcp(view, workload, port)) return false;
  }
  return endpoints.size > 0;
}
