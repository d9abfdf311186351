/** Pure. Which ports of which services a workload serves. */
import type { NamedPort, PodObject, ServiceObject, ServicePortSpec } from "#core/k8s/object-types.ts";
import { type ServiceKey, serviceKey } from "#core/model/ids.ts";
import type { AppProtocol } from "#core/model/service.ts";
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

/** What the services that lead to a port of the pod say is spoken there. */
export interface PortDeclaration {
  /** `namespace/name`. */
  readonly service: string;
  readonly protocol: AppProtocol;
}

/** By the pod's own port. */
export function declarationsOf(
  pod: PodObject,
  services: readonly ServiceObject[],
): ReadonlyMap<number, readonly PortDeclaration[]> {
  const found = services.flatMap((service) =>
    meshPorts(service).map((port) => ({
      target: targetPortOf(port, pod.ports),
      service: `${service.metadata.namespace}/${service.metadata.name}`,
      protocol: appProtocolOf(port),
    })),
  );
  return Map.groupBy(
    found.filter((one) => one.target !== undefined),
    ({ target }) => target ?? 0,
  );
}

export function isTcpDeclared({ protocol }: PortDeclaration): boolean {
  return protocol === "tcp" || protocol === "tls";
}

/**
 * Ports of the pod that bypass the waypoint: every service that leads to them says TCP or TLS, or their owner keeps them from it and no service
 * says HTTP. Ascending. As `isDeclaredTcp` of core/state has it.
 */
export function directPorts(
  pod: PodObject,
  services: readonly ServiceObject[],
  excluded: readonly number[],
): readonly number[] {
  const declarations = declarationsOf(pod, services);
  const candidates = new Set([...declarations.keys(), ...excluded]);
  return [...candidates]
    .filter((port) => isDirect(port, declarations.get(port) ?? [], excluded))
    .toSorted((a, b) => a - b);
}

function isDirect(port: number, declared: readonly PortDeclaration[], excluded: readonly number[]): boolean {
  const isExcluded = excluded.includes(port);
  return declared.every((one) => isTcpDeclared(one) || (isExcluded && one.protocol === "unknown"));
}
