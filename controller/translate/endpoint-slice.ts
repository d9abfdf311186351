/**
 * Pure. An EndpointSlice that was written by hand (not by Kubernetes for a selector) to one workload per address.
 * Such an address is taken only where nothing in the cluster owns it: else whoever writes the slice would redirect
 * other people's traffic. Exempt is the API server's own slice, `default/kubernetes`, which names a node's address.
 */
import type { EndpointSliceObject, ServiceObject, SliceEndpoint } from "#core/k8s/object-types.ts";
import { type ServiceKey, serviceKey, workloadUid } from "#core/model/ids.ts";
import { NO_LOCALITY } from "#core/model/locality.ts";
import type { ServicePorts, Workload } from "#core/model/workload.ts";
import { type IpAddress, isLoopback, isUnspecified, parseIp } from "#core/net/ip.ts";
import type { MeshConfig } from "./mesh-config.ts";
import type { Translated, TranslationProblem } from "./problem.ts";
import { meshPorts, serviceHostname } from "./service.ts";

export interface SliceFacts {
  readonly mesh: MeshConfig;
  /** The service that the slice names. */
  readonly service: ServiceObject | undefined;
  /** Who owns an address already: `pod`, `service`, `node`, `pod range`, or undefined. */
  ownerOf(address: IpAddress): string | undefined;
}

export function translateEndpointSlice(
  slice: EndpointSliceObject,
  facts: SliceFacts,
): Translated<readonly Workload[]> {
  const { service } = facts;
  // Kubernetes names pods in slices of selector services; those workloads come from the pods themselves.
  if (service === undefined || Object.keys(service.selector).length > 0) return { output: [], problems: [] };
  const { namespace, name, generation } = slice.metadata;
  const problems: TranslationProblem[] = [];
  const report = (path: string, message: string, reason: TranslationProblem["reason"]): void => {
    problems.push({ kind: "EndpointSlice", namespace, name, generation, path, message, reason });
  };
  if (slice.addressType !== "IPv4" && slice.addressType !== "IPv6") {
    report("addressType", `"${slice.addressType}" is not supported`, "UnsupportedValue");
    return { output: [], problems };
  }
  const workloads = new Map<string, Workload>();
  for (const [i, endpoint] of slice.endpoints.entries()) {
    for (const text of endpoint.addresses) {
      const address = parseIp(text);
      const why = address.ok ? refusal(slice, address.value, facts) : "is not an IP address";
      if (!address.ok || why !== undefined) {
        report(`endpoints[${i}].addresses`, `${text} ${why ?? ""}; it is left out`, "Refused");
      } else {
        const made = workload(slice, endpoint, address.value, { mesh: facts.mesh, service });
        workloads.set(made.uid, made);
      }
    }
  }
  return { output: [...workloads.values()], problems };
}

function refusal(slice: EndpointSliceObject, address: IpAddress, facts: SliceFacts): string | undefined {
  if (isLoopback(address) || isUnspecified(address)) return "is not an address of another host";
  const { namespace, name } = slice.metadata;
  const isApiServer = namespace === "default" && name === "kubernetes";
  const owner = facts.ownerOf(address);
  if (owner === undefined || (isApiServer && owner !== "service")) return undefined;
  return `belongs to a ${owner}`;
}

function workload(
  slice: EndpointSliceObject,
  endpoint: SliceEndpoint,
  address: IpAddress,
  facts: { readonly mesh: MeshConfig; readonly service: ServiceObject },
): Workload {
  const { mesh, service } = facts;
  const { namespace, name } = slice.metadata;
  return {
    uid: workloadUid(`${mesh.clusterId}/discovery.k8s.io/EndpointSlice/${namespace}/${name}/${address}`),
    name,
    namespace,
    addresses: [address],
    network: mesh.network,
    tunnelProtocol: "none",
    trustDomain: mesh.trustDomain,
    serviceAccount: "",
    waypoint: undefined,
    networkGateway: undefined,
    node: "",
    canonicalName: service.metadata.name,
    canonicalRevision: "latest",
    workloadType: "pod",
    workloadName: name,
    nativeTunnel: false,
    authorizationPolicies: [],
    status: endpoint.ready ? "healthy" : "unhealthy",
    clusterId: mesh.clusterId,
    hostname: "",
    services: new Map([
      [serviceKey(namespace, serviceHostname(service, mesh)), slicePorts(slice, service)],
    ]) as ReadonlyMap<ServiceKey, ServicePorts>,
    applicationTunnel: undefined,
    locality: endpoint.zone === "" ? NO_LOCALITY : { ...NO_LOCALITY, zone: endpoint.zone },
    networkMode: "host-network",
    excludedPorts: [],
    capacity: 1,
  };
}

/** Slices match a service's ports by name; both may be unnamed. */
function slicePorts(slice: EndpointSliceObject, service: ServiceObject): ServicePorts {
  const ports = new Map<number, number>();
  for (const port of meshPorts(service)) {
    const target = slice.ports.find((p) => p.name === port.name && p.protocol === "TCP");
    if (target !== undefined && target.port > 0) ports.set(port.port, target.port);
  }
  return ports;
}
