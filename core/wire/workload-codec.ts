/**
 * Pure. istio.workload.Workload. Deterministic: map entries and policy names are sorted, so that bytes depend on the
 * value alone. An empty trust domain or cluster on the wire means the default; an empty account stays empty.
 */
import { byteOrder } from "./byte-order.ts";
import { readExcludedPorts, writeExcludedPorts } from "./excluded-ports-codec.ts";
import type { PolicyKey, ServiceKey, WorkloadUid } from "../model/ids.ts";
import { type Locality, NO_LOCALITY } from "../model/locality.ts";
import { DEFAULT_CLUSTER_ID, DEFAULT_TRUST_DOMAIN } from "../model/well-known.ts";
import type {
  ApplicationTunnel,
  NetworkMode,
  TunnelProtocol,
  Workload,
  WorkloadStatus,
  WorkloadType,
} from "../model/workload.ts";
import { type IpAddress, ipToBytes } from "../net/ip.ts";
import { ipFromWire, portFromWire, readGatewayAddress, writeGatewayAddress } from "./network-codec.ts";
import { append, type FieldReaders, type ProtoReader, readFields, WireError } from "./proto-reader.ts";
import type { ProtoWriter } from "./proto-writer.ts";
import { wireEnum } from "./wire-enum.ts";

const TUNNEL = wireEnum<TunnelProtocol>("tunnel_protocol", ["none", "hbone"]);
const STATUS = wireEnum<WorkloadStatus>("status", ["healthy", "unhealthy"]);
const TYPE = wireEnum<WorkloadType>("workload_type", ["deployment", "cronjob", "pod", "job"]);
const NETWORK_MODE = wireEnum<NetworkMode>("network_mode", ["standard", "host-network"]);
const APP_TUNNEL = wireEnum<ApplicationTunnel["protocol"]>("application_tunnel.protocol", ["none", "proxy"]);

/** Writes the fields of the message, without its tag and length. */
export function writeWorkload(writer: ProtoWriter, workload: Workload): void {
  writeLateFields(writer, workload);
  writer.strings(16, [...workload.authorizationPolicies].toSorted(byteOrder));
  writer.bool(14, workload.nativeTunnel);
  writer.string(13, workload.workloadName);
  writer.uint(12, TYPE.encode(workload.workloadType));
  writer.string(11, workload.canonicalRevision);
  writer.string(10, workload.canonicalName);
  writer.string(9, workload.node);
  writeGatewayAddress(writer, 8, workload.waypoint);
  writer.string(7, workload.serviceAccount);
  writer.string(6, workload.trustDomain === DEFAULT_TRUST_DOMAIN ? "" : workload.trustDomain);
  writer.uint(5, TUNNEL.encode(workload.tunnelProtocol));
  writer.string(4, workload.network);
  for (const address of [...workload.addresses].reverse()) writer.bytes(3, ipToBytes(address));
  writer.string(2, workload.namespace);
  writer.string(1, workload.name);
}

/** Fields 17 to 27. */
function writeLateFields(writer: ProtoWriter, workload: Workload): void {
  writeCapacity(writer, workload.capacity);
  writeExcludedPorts(writer, workload.excludedPorts);
  writer.uint(25, NETWORK_MODE.encode(workload.networkMode));
  writeLocality(writer, workload.locality);
  if (workload.applicationTunnel !== undefined) writeApplicationTunnel(writer, workload.applicationTunnel);
  const services = [...workload.services].toSorted(([a], [b]) => byteOrder(b, a));
  for (const [key, ports] of services) writeServiceEntry(writer, key, ports);
  writer.string(21, workload.hostname);
  writer.string(20, workload.uid);
  writeGatewayAddress(writer, 19, workload.networkGateway);
  writer.string(18, workload.clusterId);
  writer.uint(17, STATUS.encode(workload.status));
}

/** One is the default and stays unwritten; zero ("never choose it") is a present, empty UInt32Value. */
function writeCapacity(writer: ProtoWriter, capacity: number): void {
  if (capacity === 1) return;
  const mark = writer.mark();
  writer.uint(1, capacity);
  writer.message(27, mark);
}

function writeLocality(writer: ProtoWriter, locality: Locality): void {
  const mark = writer.mark();
  writer.string(3, locality.subzone);
  writer.string(2, locality.zone);
  writer.string(1, locality.region);
  if (writer.mark() !== mark) writer.message(24, mark);
}

function writeApplicationTunnel(writer: ProtoWriter, tunnel: ApplicationTunnel): void {
  const mark = writer.mark();
  writer.uint(2, tunnel.port);
  writer.uint(1, APP_TUNNEL.encode(tunnel.protocol));
  writer.message(23, mark);
}

function writeServiceEntry(writer: ProtoWriter, key: string, ports: ReadonlyMap<number, number>): void {
  const entry = writer.mark();
  const list = writer.mark();
  for (const [servicePort, targetPort] of [...ports].toSorted(([a], [b]) => b - a)) {
    const port = writer.mark();
    writer.uint(2, targetPort);
    writer.uint(1, servicePort);
    writer.message(1, port);
  }
  writer.message(2, list);
  writer.stringElement(1, key);
  writer.message(22, entry);
}

interface Draft extends WritableFields {
  readonly addresses: IpAddress[];
  readonly authorizationPolicies: PolicyKey[];
  readonly services: Map<ServiceKey, ReadonlyMap<number, number>>;
}

type WritableFields = {
  -readonly [K in Exclude<keyof Workload, "addresses" | "authorizationPolicies" | "services">]: Workload[K];
};

function emptyDraft(): Draft {
  return {
    uid: "" as WorkloadUid,
    name: "",
    namespace: "",
    addresses: [],
    network: "",
    tunnelProtocol: "none",
    trustDomain: "",
    serviceAccount: "",
    waypoint: undefined,
    networkGateway: undefined,
    node: "",
    canonicalName: "",
    canonicalRevision: "",
    workloadType: "deployment",
    workloadName: "",
    nativeTunnel: false,
    authorizationPolicies: [],
    status: "healthy",
    clusterId: "",
    hostname: "",
    services: new Map(),
    applicationTunnel: undefined,
    locality: NO_LOCALITY,
    networkMode: "standard",
    excludedPorts: [],
    capacity: 1,
  };
}

const FIELDS: FieldReaders<Draft> = {
  1: (d, r) => (d.name = r.string()),
  2: (d, r) => (d.namespace = r.string()),
  3: (d, r) => append(d.addresses, ipFromWire("addresses", r.bytes(16)), 1024),
  4: (d, r) => (d.network = r.string()),
  5: (d, r) => (d.tunnelProtocol = TUNNEL.decode(r.uint32())),
  6: (d, r) => (d.trustDomain = r.string()),
  7: (d, r) => (d.serviceAccount = r.string()),
  8: (d, r) => (d.waypoint = readGatewayAddress("waypoint", r.message())),
  9: (d, r) => (d.node = r.string()),
  10: (d, r) => (d.canonicalName = r.string()),
  11: (d, r) => (d.canonicalRevision = r.string()),
  12: (d, r) => (d.workloadType = TYPE.decodeOr(r.uint32(), "deployment")),
  13: (d, r) => (d.workloadName = r.string()),
  14: (d, r) => (d.nativeTunnel = r.bool()),
  16: (d, r) => append(d.authorizationPolicies, r.string() as PolicyKey),
  17: (d, r) => (d.status = STATUS.decode(r.uint32())),
  18: (d, r) => (d.clusterId = r.string()),
  19: (d, r) => (d.networkGateway = readGatewayAddress("network_gateway", r.message())),
  20: (d, r) => (d.uid = r.string() as WorkloadUid),
  21: (d, r) => (d.hostname = r.string()),
  22: (d, r) => readServiceEntry(d, r.message()),
  23: (d, r) => (d.applicationTunnel = readApplicationTunnel(r.message())),
  24: (d, r) => (d.locality = readLocality(r.message())),
  25: (d, r) => (d.networkMode = NETWORK_MODE.decode(r.uint32())),
  26: (d, r) => (d.excludedPorts = readExcludedPorts(r.message()) ?? d.excludedPorts),
  27: (d, r) => (d.capacity = readCapacity(r.message())),
};

export function readWorkload(reader: ProtoReader): Workload {
  const draft = readFields(reader, FIELDS, emptyDraft());
  if (draft.uid === "") throw new WireError("uid", "is empty");
  if (draft.trustDomain === "") draft.trustDomain = DEFAULT_TRUST_DOMAIN;
  if (draft.clusterId === "") draft.clusterId = DEFAULT_CLUSTER_ID;
  return draft;
}

function readServiceEntry(draft: Draft, reader: ProtoReader): void {
  const entry = readFields(
    reader,
    {
      1: (d, r) => (d.key = r.string()),
      2: (d, r) => readFields(r.message(), { 1: (ports, p) => readPort(ports, p.message()) }, d.ports),
    },
    { key: "", ports: new Map<number, number>() },
  );
  if (!entry.key.includes("/")) throw new WireError("services", "has a key without a slash");
  if (draft.services.size >= 4096) throw new WireError("services", "has more than 4096 entries");
  draft.services.set(entry.key as ServiceKey, entry.ports);
}

function readPort(ports: Map<number, number>, reader: ProtoReader): void {
  const port = readFields(
    reader,
    {
      1: (d, r) => (d.service = portFromWire("services", r.uint32())),
      2: (d, r) => (d.target = portFromWire("services", r.uint32())),
    },
    { service: 0, target: 0 },
  );
  ports.set(port.service, port.target);
}

function readApplicationTunnel(reader: ProtoReader): ApplicationTunnel {
  const draft = { protocol: "none" as ApplicationTunnel["protocol"], port: 0 };
  return readFields(
    reader,
    {
      1: (d, r) => (d.protocol = APP_TUNNEL.decode(r.uint32())),
      2: (d, r) => (d.port = portFromWire("application_tunnel.port", r.uint32())),
    },
    draft,
  );
}

function readLocality(reader: ProtoReader): Locality {
  return readFields(
    reader,
    {
      1: (d, r) => (d.region = r.string()),
      2: (d, r) => (d.zone = r.string()),
      3: (d, r) => (d.subzone = r.string()),
    },
    { region: "", zone: "", subzone: "" },
  );
}

function readCapacity(reader: ProtoReader): number {
  return readFields(reader, { 1: (d, r) => (d.value = r.uint32()) }, { value: 0 }).value;
}
