/** Pure. Kubernetes Service to the mesh's Service (Istio's ambient rules for load balancing and addresses). */
import type { NamespaceObject, ServiceObject } from "#core/k8s/object-types.ts";
import type { GatewayAddress } from "#core/model/address.ts";
import type { IpFamilies, LoadBalancing, RoutingScope, Service } from "#core/model/service.ts";
import { ANNOTATION_EXCLUDE_PORTS } from "#core/model/waypoint.ts";
import { LABEL_USE_WAYPOINT } from "#core/model/well-known.ts";
import { parseIp } from "#core/net/ip.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { appProtocolOf } from "./port-protocol.ts";
import type { Translated, TranslationProblem } from "./problem.ts";
import type { WaypointChoice } from "./waypoint-choice.ts";

export interface ServiceFacts {
  readonly mesh: MeshConfig;
  readonly namespace: NamespaceObject | undefined;
  /** The waypoint that serves it, and why one that somebody chose does not. */
  readonly place: {
    readonly waypoint: GatewayAddress | undefined;
    readonly refusal: string | undefined;
    readonly choice: WaypointChoice;
  };
}

const TRAFFIC_DISTRIBUTION = "networking.istio.io/traffic-distribution";
const SAME_ZONE: readonly RoutingScope[] = ["network", "region", "zone"];
const SAME_NODE: readonly RoutingScope[] = ["network", "region", "zone", "subzone", "node"];
const DISTRIBUTIONS: Readonly<Record<string, readonly RoutingScope[]>> = {
  PreferClose: SAME_ZONE,
  PreferSameZone: SAME_ZONE,
  PreferSameNode: SAME_NODE,
};

/** Ports that the mesh carries: TCP. */
export function meshPorts(service: ServiceObject): ServiceObject["ports"] {
  return service.ports.filter((port) => port.protocol === "TCP");
}

/** `name.namespace.svc.cluster.local`. */
export function serviceHostname(service: ServiceObject, mesh: MeshConfig): string {
  return `${service.metadata.name}.${service.metadata.namespace}.svc.${mesh.dnsDomain}`;
}

/** ExternalName services have no mesh form. */
export function translateService(
  service: ServiceObject,
  facts: ServiceFacts,
): Translated<Service | undefined> {
  if (service.type === "ExternalName") return { output: undefined, problems: [] };
  const { namespace, name } = service.metadata;
  const problems: TranslationProblem[] = [];
  const report: Report = (path, reason, message) => {
    const { generation } = service.metadata;
    problems.push({ kind: "Service", namespace, name, generation, path, reason, message });
  };
  const vips = service.clusterIps.flatMap((text) => {
    const address = parseIp(text);
    return address.ok ? [{ network: facts.mesh.network, ip: address.value }] : [];
  });
  reportWaypoint(service, facts, report);
  if (service.metadata.annotations[ANNOTATION_EXCLUDE_PORTS] !== undefined)
    report(
      `metadata.annotations ${ANNOTATION_EXCLUDE_PORTS}`,
      "UnsupportedValue",
      "has no effect on a Service: call the port tcp or tcp-<name>, or set its appProtocol to tcp",
    );
  const output: Service = {
    name,
    namespace,
    hostname: serviceHostname(service, facts.mesh),
    vips,
    cidrVips: [],
    ports: meshPorts(service)
      .map((port) => ({
        servicePort: port.port,
        targetPort: typeof port.targetPort === "number" ? port.targetPort : 0,
        appProtocol: appProtocolOf(port),
      }))
      .toSorted((a, b) => a.servicePort - b.servicePort),
    subjectAltNames: [],
    waypoint: facts.place.waypoint,
    weightedWaypoints: [],
    loadBalancing: loadBalancing(service, facts, report),
    ipFamilies: ipFamilies(service),
    canonical: true,
    ingressUseWaypoint: false,
    visibility: "public",
  };
  return { output, problems };
}

type Report = (path: string, reason: TranslationProblem["reason"], message: string) => void;

/** Saying so beats letting someone believe that L7 policy is in force. */
function reportWaypoint(service: ServiceObject, { place }: ServiceFacts, report: Report): void {
  if (place.refusal === undefined || place.choice.kind !== "explicit") return;
  const own = service.metadata.labels[LABEL_USE_WAYPOINT];
  const where = own === undefined ? "the namespace's label" : "metadata.labels";
  const { namespace, name } = place.choice;
  report(
    `${where} ${LABEL_USE_WAYPOINT}`,
    "UnsupportedValue",
    `waypoint ${namespace}/${name} does not serve it: ${place.refusal}`,
  );
}

function loadBalancing(
  service: ServiceObject,
  facts: ServiceFacts,
  report: Report,
): LoadBalancing | undefined {
  const healthPolicy = service.publishNotReadyAddresses ? "allow-all" : "only-healthy";
  if (service.internalTrafficPolicy === "Local") {
    return { mode: "strict", routingPreferences: ["node"], healthPolicy };
  }
  const annotated =
    service.metadata.annotations[TRAFFIC_DISTRIBUTION] ??
    facts.namespace?.metadata.annotations[TRAFFIC_DISTRIBUTION];
  const wanted = service.trafficDistribution || annotated || "";
  const routingPreferences = Object.hasOwn(DISTRIBUTIONS, wanted) ? DISTRIBUTIONS[wanted] : undefined;
  if (routingPreferences !== undefined) return { mode: "failover", routingPreferences, healthPolicy };
  if (wanted !== "" && wanted !== "Any") {
    report("spec.trafficDistribution", "UnsupportedValue", `"${wanted}" is not known; any endpoint is used`);
  }
  return healthPolicy === "allow-all"
    ? { mode: "standard", routingPreferences: [], healthPolicy }
    : undefined;
}

function ipFamilies(service: ServiceObject): IpFamilies {
  const v4 = service.ipFamilies.includes("IPv4");
  const v6 = service.ipFamilies.includes("IPv6");
  if (v4 && v6) return "dual";
  if (v4) return "ipv4";
  return v6 ? "ipv6" : "automatic";
}
