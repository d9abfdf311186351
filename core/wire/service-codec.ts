/** Pure. istio.workload.Service. Deterministic; accepted identities are sorted, everything else keeps its order. */
import type { NetworkAddress, NetworkCidr } from "../model/address.ts";
import type {
  AppProtocol,
  IpFamilies,
  LoadBalancing,
  RoutingScope,
  Service,
  ServicePort,
  WeightedWaypoint,
} from "../model/service.ts";
import { parseSpiffeId, type SpiffeId } from "../model/spiffe-id.ts";
import { cidr } from "../net/cidr.ts";
import { ipToBytes } from "../net/ip.ts";
import { byteOrder } from "./byte-order.ts";
import {
  isSingleAddress,
  portFromWire,
  readGatewayAddress,
  readNetworkAddress,
  writeGatewayAddress,
  writeNetworkAddress,
} from "./network-codec.ts";
import { append, type FieldReaders, type ProtoReader, readFields, WireError } from "./proto-reader.ts";
import type { ProtoWriter } from "./proto-writer.ts";
import { wireEnum } from "./wire-enum.ts";

const APP_PROTOCOL = wireEnum<AppProtocol>("ports.app_protocol", [
  "unknown",
  "http11",
  "http2",
  "grpc",
  "tcp",
  "tls",
]);
const IP_FAMILIES = wireEnum<IpFamilies>("ip_families", ["automatic", "ipv4", "ipv6", "dual"]);
const VISIBILITY = wireEnum<Service["visibility"]>("visibility", ["public", "namespace"]);
const MODE = wireEnum<LoadBalancing["mode"]>("load_balancing.mode", [
  "standard",
  "strict",
  "failover",
  "passthrough",
]);
const HEALTH = wireEnum<LoadBalancing["healthPolicy"]>("load_balancing.health_policy", [
  "only-healthy",
  "allow-all",
]);
/** Number 0, "unspecified", is not a preference. */
const SCOPE = wireEnum<RoutingScope>("load_balancing.routing_preference", [
  undefined,
  "region",
  "zone",
  "subzone",
  "node",
  "cluster",
  "network",
]);

/** Writes the fields of the message, without its tag and length. */
export function writeService(writer: ProtoWriter, service: Service): void {
  writer.uint(14, VISIBILITY.encode(service.visibility));
  for (const waypoint of [...service.weightedWaypoints].reverse()) writeWeighted(writer, waypoint);
  writer.bool(12, service.ingressUseWaypoint);
  writer.bool(11, service.canonical);
  writer.uint(9, IP_FAMILIES.encode(service.ipFamilies));
  if (service.loadBalancing !== undefined) writeLoadBalancing(writer, service.loadBalancing);
  writeGatewayAddress(writer, 7, service.waypoint);
  writer.strings(6, [...service.subjectAltNames].toSorted(byteOrder));
  for (const port of [...service.ports].reverse()) writePort(writer, port);
  for (const block of [...service.cidrVips].reverse())
    writeNetworkAddress(writer, 4, { network: block.network, block: block.cidr });
  for (const { network, ip } of [...service.vips].reverse())
    writeNetworkAddress(writer, 4, { network, block: cidr(ip, ipToBytes(ip).length * 8) });
  writer.string(3, service.hostname);
  writer.string(2, service.namespace);
  writer.string(1, service.name);
}

function writeWeighted(writer: ProtoWriter, waypoint: WeightedWaypoint): void {
  const mark = writer.mark();
  writer.uint(2, waypoint.weight);
  writeGatewayAddress(writer, 1, waypoint.destination);
  writer.message(13, mark);
}

function writeLoadBalancing(writer: ProtoWriter, balancing: LoadBalancing): void {
  const mark = writer.mark();
  writer.uint(3, HEALTH.encode(balancing.healthPolicy));
  writer.uint(2, MODE.encode(balancing.mode));
  writer.packedUints(1, balancing.routingPreferences.map(SCOPE.encode));
  writer.message(8, mark);
}

function writePort(writer: ProtoWriter, port: ServicePort): void {
  const mark = writer.mark();
  writer.uint(3, APP_PROTOCOL.encode(port.appProtocol));
  writer.uint(2, port.targetPort);
  writer.uint(1, port.servicePort);
  writer.message(5, mark);
}

type ListField = "vips" | "cidrVips" | "ports" | "subjectAltNames" | "weightedWaypoints";
type Draft = { -readonly [K in Exclude<keyof Service, ListField>]: Service[K] } & {
  readonly vips: NetworkAddress[];
  readonly cidrVips: NetworkCidr[];
  readonly ports: ServicePort[];
  readonly subjectAltNames: SpiffeId[];
  readonly weightedWaypoints: WeightedWaypoint[];
};

function emptyDraft(): Draft {
  return {
    name: "",
    namespace: "",
    hostname: "",
    vips: [],
    cidrVips: [],
    ports: [],
    subjectAltNames: [],
    waypoint: undefined,
    weightedWaypoints: [],
    loadBalancing: undefined,
    ipFamilies: "automatic",
    canonical: false,
    ingressUseWaypoint: false,
    visibility: "public",
  };
}

const FIELDS: FieldReaders<Draft> = {
  1: (d, r) => (d.name = r.string()),
  2: (d, r) => (d.namespace = r.string()),
  3: (d, r) => (d.hostname = r.string()),
  4: (d, r) => readVip(d, r.message()),
  5: (d, r) => append(d.ports, readPort(r.message()), 4096),
  6: (d, r) => readSubjectAltName(d, r.string()),
  7: (d, r) => (d.waypoint = readGatewayAddress("waypoint", r.message())),
  8: (d, r) => (d.loadBalancing = readLoadBalancing(r.message())),
  9: (d, r) => (d.ipFamilies = IP_FAMILIES.decode(r.uint32())),
  11: (d, r) => (d.canonical = r.bool()),
  12: (d, r) => (d.ingressUseWaypoint = r.bool()),
  13: (d, r) => append(d.weightedWaypoints, readWeighted(r.message()), 64),
  14: (d, r) => (d.visibility = VISIBILITY.decodeOr(r.uint32(), "public")),
};

export function readService(reader: ProtoReader): Service {
  const draft = readFields(reader, FIELDS, emptyDraft());
  if (draft.hostname === "") throw new WireError("hostname", "is empty");
  return draft;
}

function readVip(draft: Draft, reader: ProtoReader): void {
  const { network, block } = readNetworkAddress("addresses", reader);
  if (isSingleAddress(block)) append(draft.vips, { network, ip: block.address });
  else append(draft.cidrVips, { network, cidr: block });
}

/** An accepted identity that does not parse can match nobody: it is left out, as Istio's ztunnel does. */
function readSubjectAltName(draft: Draft, text: string): void {
  const identity = parseSpiffeId(text);
  if (identity.ok) append(draft.subjectAltNames, identity.value);
}

function readPort(reader: ProtoReader): ServicePort {
  const draft = { servicePort: 0, targetPort: 0, appProtocol: "unknown" as AppProtocol };
  return readFields(
    reader,
    {
      1: (d, r) => (d.servicePort = portFromWire("ports.service_port", r.uint32())),
      2: (d, r) => (d.targetPort = portFromWire("ports.target_port", r.uint32())),
      3: (d, r) => (d.appProtocol = APP_PROTOCOL.decodeOr(r.uint32(), "unknown")),
    },
    draft,
  );
}

function readLoadBalancing(reader: ProtoReader): LoadBalancing {
  const draft = {
    mode: "standard" as LoadBalancing["mode"],
    healthPolicy: "only-healthy" as LoadBalancing["healthPolicy"],
    scopes: [] as number[],
  };
  readFields(
    reader,
    {
      1: (d, r) => r.uint32s(d.scopes),
      2: (d, r) => (d.mode = MODE.decode(r.uint32())),
      3: (d, r) => (d.healthPolicy = HEALTH.decode(r.uint32())),
    },
    draft,
  );
  const { mode, healthPolicy, scopes } = draft;
  return { mode, healthPolicy, routingPreferences: scopes.map(SCOPE.decode) };
}

function readWeighted(reader: ProtoReader): WeightedWaypoint {
  const draft = { destination: undefined as WeightedWaypoint["destination"] | undefined, weight: 0 };
  readFields(
    reader,
    {
      1: (d, r) => (d.destination = readGatewayAddress("weighted_waypoints", r.message())),
      2: (d, r) => (d.weight = r.uint32()),
    },
    draft,
  );
  if (draft.destination === undefined) throw new WireError("weighted_waypoints", "names no destination");
  return { destination: draft.destination, weight: draft.weight };
}
