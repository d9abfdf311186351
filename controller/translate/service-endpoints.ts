/** Pure. Which ports of which services a workload serves. */
import type { NamedPort, ServiceObject } from "#core/k8s/object-types.ts";
import { type ServiceKey, serviceKey } from "#core/model/ids.ts";
import type { ServicePorts } from "#core/model/workload.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { meshPorts, serviceHostname } from "./service.ts";

/** Services that select a pod, each with the pod's own port per service port; a named port it lacks is left out. */
export function podServices(
  services: readonly ServiceObject[],
  podPorts: readonly NamedPort[],
  mesh: MeshConfig,
): ReadonlyMap<ServiceKey, ServicePorts> {
  return new Map(
    services
      .filter((service) => service.type !== "ExternalName")
      .map((service) => [
        serviceKey(service.metadata.namespace, serviceHostname(service, mesh)),
        targetPorts(service, podPorts),
      ]),
  );
}

function targetPorts(service: ServiceObject, podPorts: readonly NamedPort[]): ServicePorts {
  const ports = new Map<number, number>();
  for (const { port, targetPort } of meshPorts(service)) {
    const target =
      typeof targetPort === "number" ? targetPort : podPorts.find((p) => p.name === targetPort)?.port;
    if (target !== undefined && target > 0) ports.set(port, target);
  }
  return ports;
}
