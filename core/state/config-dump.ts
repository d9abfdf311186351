/**
 * Pure. The mesh state as the JSON that `istioctl ztunnel-config` and `ambit ztunnel-config` read: sorted, camelCase,
 * defaults left out (Istio's ztunnel, admin.rs). Never holds keys or tokens.
 */
import { type GatewayAddress, networkAddressKey } from "../model/address.ts";
import type { Authorization, AuthorizationMatch, StringMatch } from "../model/authorization.ts";
import type { ServiceKey } from "../model/ids.ts";
import { serviceKey } from "../model/ids.ts";
import type { LoadBalancing, Service } from "../model/service.ts";
import type { Workload } from "../model/workload.ts";
import { formatCidr } from "../net/cidr.ts";
import type { JsonObject, JsonValue } from "../wire/json-value.ts";
import type { MeshView } from "./mesh-state.ts";
import type { Endpoint } from "./service-store.ts";

export interface MeshDump extends JsonObject {
  readonly workloads: readonly JsonObject[];
  readonly services: readonly JsonObject[];
  readonly policies: readonly JsonObject[];
  readonly stagedServices: JsonObject;
}

export function dumpMesh(view: MeshView): MeshDump {
  const services = [...view.services.values()].toSorted(by((s) => `${s.hostname} ${s.namespace}`));
  return {
    workloads: [...view.workloads.values()].toSorted(by((w) => w.uid)).map(dumpWorkload),
    services: services.map((service) => dumpService(view, service)),
    policies: [...view.policies.values()].toSorted(by((p) => `${p.namespace}/${p.name}`)).map(dumpPolicy),
    stagedServices: Object.fromEntries(
      view.services.stagedKeys().map((key) => [key, dumpEndpoints(view, key)]),
    ),
  };
}

function dumpWorkload(workload: Workload): JsonObject {
  const { region, zone, subzone } = workload.locality;
  const tunnel = workload.applicationTunnel;
  return {
    workloadIps: workload.addresses,
    protocol: workload.tunnelProtocol === "hbone" ? "HBONE" : "TCP",
    networkMode: workload.networkMode === "host-network" ? "HostNetwork" : "Standard",
    name: workload.name,
    namespace: workload.namespace,
    status: workload.status === "healthy" ? "Healthy" : "Unhealthy",
    clusterId: workload.clusterId,
    capacity: workload.capacity,
    ...withoutDefaults({
      uid: workload.uid,
      waypoint: dumpGateway(workload.waypoint),
      networkGateway: dumpGateway(workload.networkGateway),
      trustDomain: workload.trustDomain,
      serviceAccount: workload.serviceAccount,
      network: workload.network,
      workloadName: workload.workloadName,
      workloadType: workload.workloadType,
      canonicalName: workload.canonicalName,
      canonicalRevision: workload.canonicalRevision,
      hostname: workload.hostname,
      node: workload.node,
      nativeTunnel: workload.nativeTunnel,
      applicationTunnel:
        tunnel === undefined ? null : { protocol: tunnel.protocol.toUpperCase(), port: tunnel.port || null },
      authorizationPolicies: workload.authorizationPolicies,
      locality: region + zone + subzone === "" ? null : withoutDefaults({ region, zone, subzone }),
      services: [...workload.services.keys()].toSorted(),
      excludedPorts: workload.excludedPorts,
    }),
  };
}

function dumpService(view: MeshView, service: Service): JsonObject {
  const key = serviceKey(service.namespace, service.hostname);
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    vips: service.vips.map(networkAddressKey),
    ports: Object.fromEntries(service.ports.map((p) => [String(p.servicePort), p.targetPort])),
    endpoints: dumpEndpoints(view, key),
    ...withoutDefaults({
      cidrVips: service.cidrVips.map((b) => ({ network: b.network, cidr: formatCidr(b.cidr) })),
      subjectAltNames: service.subjectAltNames,
      waypoint: dumpGateway(service.waypoint),
      weightedWaypoints: service.weightedWaypoints.map(({ destination, weight }) => ({
        destination: dumpGateway(destination),
        weight,
      })),
      loadBalancer: dumpLoadBalancing(service.loadBalancing),
      ipFamilies: { automatic: null, ipv4: "IPv4", ipv6: "IPv6", dual: "Dual" }[service.ipFamilies],
      canonical: service.canonical,
    }),
    visibility: service.visibility === "public" ? "Public" : "Namespace",
  };
}

function dumpEndpoints(view: MeshView, key: ServiceKey): JsonObject {
  const endpoints = [...view.services.endpoints(key).values()].toSorted(by((e) => e.workloadUid));
  return Object.fromEntries(endpoints.map((e) => [e.workloadUid, dumpEndpoint(e)]));
}

function dumpEndpoint(endpoint: Endpoint): JsonObject {
  return {
    workloadUid: endpoint.workloadUid,
    port: Object.fromEntries([...endpoint.ports].map(([port, target]) => [String(port), target])),
    status: endpoint.status === "healthy" ? "Healthy" : "Unhealthy",
  };
}

function dumpLoadBalancing(lb: LoadBalancing | undefined): JsonValue {
  if (lb === undefined) return null;
  return {
    routingPreferences: lb.routingPreferences.map(capitalised),
    mode: capitalised(lb.mode),
    healthPolicy: lb.healthPolicy === "allow-all" ? "AllowAll" : "OnlyHealthy",
  };
}

/** Rules are arrays of clauses, clauses arrays of matches. */
function dumpPolicy(policy: Authorization): JsonObject {
  return {
    name: policy.name,
    namespace: policy.namespace,
    scope: { global: "Global", namespace: "Namespace", "workload-selector": "WorkloadSelector" }[
      policy.scope
    ],
    action: capitalised(policy.action),
    rules: policy.rules.map((rule) => rule.clauses.map((clause) => clause.matches.map(dumpMatch))),
    dryRun: policy.dryRun,
  };
}

function dumpMatch(match: AuthorizationMatch): JsonObject {
  const accounts = (list: AuthorizationMatch["serviceAccounts"]["any"]): JsonValue =>
    list.map((a) => ({ ...a }));
  return withoutDefaults({
    namespaces: match.namespaces.any.map(dumpString),
    notNamespaces: match.namespaces.none.map(dumpString),
    serviceAccounts: accounts(match.serviceAccounts.any),
    notServiceAccounts: accounts(match.serviceAccounts.none),
    principals: match.principals.any.map(dumpString),
    notPrincipals: match.principals.none.map(dumpString),
    sourceIps: match.sourceIps.any.map(formatCidr),
    notSourceIps: match.sourceIps.none.map(formatCidr),
    destinationIps: match.destinationIps.any.map(formatCidr),
    notDestinationIps: match.destinationIps.none.map(formatCidr),
    destinationPorts: match.destinationPorts.any,
    notDestinationPorts: match.destinationPorts.none,
  });
}

function dumpString(match: StringMatch): JsonObject {
  return match.kind === "presence" ? { Presence: [] } : { [capitalised(match.kind)]: match.value };
}

function dumpGateway(gateway: GatewayAddress | undefined): JsonValue {
  if (gateway === undefined) return null;
  const { destination, hboneMtlsPort } = gateway;
  const name =
    destination.kind === "address"
      ? networkAddressKey(destination.address)
      : `${destination.name.namespace}/${destination.name.hostname}`;
  return { destination: name, hboneMtlsPort };
}

/** Drops "", false, null and []. */
function withoutDefaults(object: JsonObject): JsonObject {
  const isDefault = (value: JsonValue): boolean =>
    value === "" || value === false || value === null || (Array.isArray(value) && value.length === 0);
  return Object.fromEntries(Object.entries(object).filter(([, value]) => !isDefault(value)));
}

function capitalised(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function by<T>(key: (value: T) => string): (a: T, b: T) => number {
  return (a, b) => (key(a) < key(b) ? -1 : Number(key(a) > key(b)));
}
