/**
 * Pure. A mesh described in a file instead of by a controller: workloads, services and policies as `config_dump` prints
 * them, so that a dump can be run again. A workload's `services` may be the dump's list or a map of ports.
 */
import { describeProblems, type Parsed, parsed } from "#core/base/parse-result.ts";
import type { GatewayAddress, NetworkAddress } from "#core/model/address.ts";
import { policyKey, type ServiceKey, workloadUid } from "#core/model/ids.ts";
import type { LoadBalancing, Service } from "#core/model/service.ts";
import { parseSpiffeId, spiffeId } from "#core/model/spiffe-id.ts";
import { DEFAULT_CLUSTER_ID, DEFAULT_TRUST_DOMAIN, HBONE_PORT } from "#core/model/well-known.ts";
import type { ServicePorts, Workload } from "#core/model/workload.ts";
import { cidr, parseCidr } from "#core/net/cidr.ts";
import { ip, parseIp } from "#core/net/ip.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { DocumentReader } from "./document-reader.ts";
import type { MeshResource } from "#core/state/mesh-state.ts";
import { readPolicy } from "./read-policy-document.ts";

const NO_IP = ip("0.0.0.0");
const NOBODY = spiffeId({ trustDomain: "invalid", namespace: "invalid", serviceAccount: "invalid" });

/** `document` is what a YAML or JSON parser gave. All problems are reported, each with its path. */
export function readLocalState(document: unknown): Parsed<readonly MeshResource[]> {
  const root = new DocumentReader(document);
  const endpointPorts = readEndpointPorts(root);
  const resources: readonly MeshResource[] = [
    ...root
      .field("policies")
      .items()
      .map((r) => ({ kind: "authorization", policy: readPolicy(r) }) as const),
    ...root
      .field("services")
      .items()
      .map((r) => ({ kind: "service", service: readService(r) }) as const),
    ...root
      .field("workloads")
      .items()
      .map((r) => ({ kind: "workload", workload: readWorkload(r, endpointPorts) }) as const),
  ];
  return root.problems.length === 0 ? parsed(resources) : { ok: false, problems: root.problems };
}

/** Like `readLocalState`; throws LOCAL_STATE_INVALID with every problem. */
export function requireLocalState(document: unknown, where: string): readonly MeshResource[] {
  const result = readLocalState(document);
  if (result.ok) return result.value;
  throw new AmbitError("LOCAL_STATE_INVALID", `${where}: ${describeProblems(result.problems)}`);
}

function readWorkload(reader: DocumentReader, endpointPorts: EndpointPorts): Workload {
  const text = (name: string, fallback = ""): string => reader.field(name).text(fallback);
  const uid =
    text("uid") || `${text("clusterId", DEFAULT_CLUSTER_ID)}//Pod/${text("namespace")}/${text("name")}`;
  const tunnel = reader.field("applicationTunnel");
  const locality = reader.field("locality");
  return {
    uid: workloadUid(uid),
    name: reader.field("name").text(),
    namespace: reader.field("namespace").text(),
    addresses: reader
      .field("workloadIps")
      .items()
      .map((item) => item.parsed(parseIp, NO_IP)),
    network: text("network"),
    tunnelProtocol: reader.field("protocol").choice({ HBONE: "hbone", TCP: "none" }, "none"),
    trustDomain: text("trustDomain", DEFAULT_TRUST_DOMAIN),
    serviceAccount: text("serviceAccount"),
    waypoint: readGateway(reader.field("waypoint")),
    networkGateway: readGateway(reader.field("networkGateway")),
    node: text("node"),
    canonicalName: text("canonicalName"),
    canonicalRevision: text("canonicalRevision"),
    workloadType: reader
      .field("workloadType")
      .choice({ deployment: "deployment", cronjob: "cronjob", pod: "pod", job: "job" }, "pod"),
    workloadName: text("workloadName"),
    nativeTunnel: reader.field("nativeTunnel").flag(),
    authorizationPolicies: reader.field("authorizationPolicies").items().map(readPolicyKey),
    status: reader.field("status").choice({ Healthy: "healthy", Unhealthy: "unhealthy" }, "healthy"),
    clusterId: text("clusterId", DEFAULT_CLUSTER_ID),
    hostname: text("hostname"),
    services: readMemberships(reader.field("services"), endpointPorts.get(uid)),
    applicationTunnel: tunnel.isAbsent
      ? undefined
      : {
          protocol: tunnel.field("protocol").choice({ PROXY: "proxy", NONE: "none" }, "none"),
          port: tunnel.field("port").number(65_535, 0),
        },
    locality: {
      region: locality.field("region").text(""),
      zone: locality.field("zone").text(""),
      subzone: locality.field("subzone").text(""),
    },
    networkMode: reader
      .field("networkMode")
      .choice({ Standard: "standard", HostNetwork: "host-network" }, "standard"),
    excludedPorts: reader
      .field("excludedPorts")
      .items()
      .map((item) => item.number(65_535)),
    capacity: reader.field("capacity").number(0xffff_ffff, 1),
  };
}

type EndpointPorts = ReadonlyMap<string, ReadonlyMap<ServiceKey, ServicePorts>>;

/** Ports of endpoints as listed under services (and staged ones), by workload uid. */
function readEndpointPorts(root: DocumentReader): EndpointPorts {
  const result = new Map<string, Map<ServiceKey, ServicePorts>>();
  const note = (key: ServiceKey, endpoints: DocumentReader): void => {
    for (const [uid, endpoint] of endpoints.entries()) {
      const ofWorkload = result.get(uid) ?? new Map<ServiceKey, ServicePorts>();
      result.set(uid, ofWorkload.set(key, readPorts(endpoint.field("port"))));
    }
  };
  for (const service of root.field("services").items()) {
    const key = `${service.field("namespace").text("")}/${service.field("hostname").text("")}` as ServiceKey;
    note(key, service.field("endpoints"));
  }
  for (const [key, endpoints] of root.field("stagedServices").entries()) note(key as ServiceKey, endpoints);
  return result;
}

function readMemberships(
  reader: DocumentReader,
  listed: ReadonlyMap<ServiceKey, ServicePorts> | undefined,
): ReadonlyMap<ServiceKey, ServicePorts> {
  if (reader.isList) {
    const keys = reader.items().map(readServiceKey);
    return new Map(keys.map((key) => [key, listed?.get(key) ?? new Map<number, number>()]));
  }
  return new Map(reader.entries().map(([key, ports]) => [key as ServiceKey, readPorts(ports)]));
}

function readPorts(reader: DocumentReader): ServicePorts {
  return new Map(reader.entries().map(([port, target]) => [Number(port), target.number(65_535)]));
}

function readService(reader: DocumentReader): Service {
  return {
    name: reader.field("name").text(),
    namespace: reader.field("namespace").text(),
    hostname: reader.field("hostname").text(),
    vips: reader.field("vips").items().map(readVip),
    cidrVips: reader
      .field("cidrVips")
      .items()
      .map((item) => ({
        network: item.field("network").text(""),
        cidr: item.field("cidr").parsed(parseCidr, cidr(NO_IP, 32)),
      })),
    ports: reader
      .field("ports")
      .entries()
      .map(([port, target]) => ({
        servicePort: Number(port),
        targetPort: target.number(65_535),
        appProtocol: "unknown",
      })),
    subjectAltNames: reader
      .field("subjectAltNames")
      .items()
      .map((item) => item.parsed(parseSpiffeId, NOBODY)),
    waypoint: readGateway(reader.field("waypoint")),
    weightedWaypoints: reader
      .field("weightedWaypoints")
      .items()
      .flatMap((item) => {
        const destination = readGateway(item.field("destination"));
        const weight = item.field("weight").number(0xffff_ffff, 0);
        return destination === undefined ? [] : [{ destination, weight }];
      }),
    loadBalancing: readLoadBalancing(reader.field("loadBalancer")),
    ipFamilies: reader.field("ipFamilies").choice({ IPv4: "ipv4", IPv6: "ipv6", Dual: "dual" }, "automatic"),
    canonical: reader.field("canonical").flag(),
    ingressUseWaypoint: false,
    visibility: reader.field("visibility").choice({ Public: "public", Namespace: "namespace" }, "public"),
  };
}

function readLoadBalancing(reader: DocumentReader): LoadBalancing | undefined {
  if (reader.isAbsent) return undefined;
  const scopes = {
    Network: "network",
    Region: "region",
    Zone: "zone",
    Subzone: "subzone",
    Node: "node",
    Cluster: "cluster",
  } as const;
  const modes = {
    Standard: "standard",
    Strict: "strict",
    Failover: "failover",
    Passthrough: "passthrough",
  } as const;
  return {
    routingPreferences: reader
      .field("routingPreferences")
      .items()
      .map((item) => item.choice<(typeof scopes)[keyof typeof scopes]>(scopes, "network")),
    mode: reader.field("mode").choice<(typeof modes)[keyof typeof modes]>(modes, "standard"),
    healthPolicy: reader
      .field("healthPolicy")
      .choice({ OnlyHealthy: "only-healthy", AllowAll: "allow-all" }, "only-healthy"),
  };
}

/** `network/ip` names an address, `namespace/hostname` a service. */
function readGateway(reader: DocumentReader): GatewayAddress | undefined {
  if (reader.isAbsent) return undefined;
  const hboneMtlsPort = reader.field("hboneMtlsPort").number(65_535, HBONE_PORT);
  const name = reader.field("destination").text();
  const cut = name.indexOf("/");
  if (cut < 0) reader.fail("destination must be network/ip or namespace/hostname");
  const [before, after] = [name.slice(0, cut), name.slice(cut + 1)];
  const address = parseIp(after);
  if (address.ok) {
    return {
      destination: { kind: "address", address: { network: before, ip: address.value } },
      hboneMtlsPort,
    };
  }
  return { destination: { kind: "hostname", name: { namespace: before, hostname: after } }, hboneMtlsPort };
}

function readVip(reader: DocumentReader): NetworkAddress {
  const text = reader.text();
  const cut = text.indexOf("/");
  if (cut < 0) reader.fail("must be network/ip; the default network is empty: /10.0.0.1");
  const address = parseIp(text.slice(cut + 1));
  if (!address.ok) reader.fail("must end with an IP address");
  return { network: text.slice(0, Math.max(0, cut)), ip: address.ok ? address.value : NO_IP };
}

function readServiceKey(reader: DocumentReader): ServiceKey {
  const text = reader.text();
  if (!text.includes("/")) reader.fail("must be namespace/hostname");
  return text as ServiceKey;
}

function readPolicyKey(reader: DocumentReader): ReturnType<typeof policyKey> {
  const [namespace = "", name, ...rest] = reader.text().split("/");
  if (name === undefined || rest.length > 0) reader.fail("must be namespace/name");
  return policyKey(namespace, name ?? "");
}
