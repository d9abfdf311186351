/** Pure. Which ports of which services a workload serves. */
import type { NamedPort, PodObject, ServiceObject, ServicePortSpec } from "#core/k8s/object-types.ts";
import { type ServiceKey, serviceKey } from "#core/model/ids.ts";
import type { ServicePorts } from "#core/model/workload.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { appProtocolOf } from "./port-protocol.ts";
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
  for (const port of meshPorts(service)) {
    const target = targetPortOf(port, podPorts);
    if (target !== undefined) ports.set(port.port, target);
  }
  return ports;
}

/** The pod's own port behind a service port; undefined for a named port that it lacks. */
export function targetPortOf(
  { targetPort }: Pick<ServicePortSpec, "targetPort">,
  podPorts: readonly NamedPort[],
): number | undefined {
  const target =
    typeof targetPort === "number" ? targetPort : podPorts.find((p) => p.name === targetPort)?.port;
  return target !== undefined && target > 0 ? target : undefined;
}

/** Ports of the pod that bypass the waypoint: every service that leads to them says TCP or TLS. */
export function directPorts(pod: PodObject, services: readonly ServiceObject[]): readonly number[] {
  const direct = new Map<number, boolean>();
  for (const service of services) {
    for (const port of meshPorts(service)) {
      const target = targetPortOf(port, pod.ports);
      if (target === undefined) continue;
      const protocol = appProtocolOf(port);
      const isDirect = protocol === "tcp" || protocol === "tls";
      direct.set(target, isDirect && (direct.get(target) ?? true));
    }
  }
  return [...direct].flatMap(([port, isDirect]) => (isDirect ? [port] : [])).toSorted((a, b) => a - b);
}
