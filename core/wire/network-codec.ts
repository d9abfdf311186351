/** Pure. Addresses and gateways inside workloads, services and policies. */
import type { GatewayAddress, NamespacedHostname } from "../model/address.ts";
import { type Cidr, cidr } from "../net/cidr.ts";
import { formatIp, type IpAddress, ipToBytes } from "../net/ip.ts";
import { type ProtoReader, readFields, WireError } from "./proto-reader.ts";
import type { ProtoWriter } from "./proto-writer.ts";

/** NetworkAddress as it travels: one address or, with a shorter prefix, a block. */
export interface WireNetworkAddress {
  readonly network: string;
  readonly block: Cidr;
}

export function ipFromWire(path: string, bytes: Uint8Array): IpAddress {
  if (bytes.length !== 4 && bytes.length !== 16)
    throw new WireError(path, `must be 4 or 16 bytes, not ${bytes.length}`);
  return formatIp(bytes);
}

/** A full-length block when `length` is absent. */
export function cidrFromWire(path: string, bytes: Uint8Array, length: number | undefined): Cidr {
  const address = ipFromWire(path, bytes);
  const full = ipToBytes(address).length * 8;
  // An IPv4-mapped block keeps its meaning: the 96 leading bits are the mapping itself.
  const mappedBits = bytes.length * 8 - full;
  const prefixLength = length === undefined ? full : length - mappedBits;
  if (prefixLength < 0 || prefixLength > full)
    throw new WireError(path, `has the invalid prefix length ${length}`);
  return cidr(address, prefixLength);
}

export function isSingleAddress(block: Cidr): boolean {
  return block.prefixLength === ipToBytes(block.address).length * 8;
}

export function portFromWire(path: string, value: number): number {
  if (value > 65_535) throw new WireError(path, `has the invalid port ${value}`);
  return value;
}

export function writeNetworkAddress(writer: ProtoWriter, field: number, address: WireNetworkAddress): void {
  const mark = writer.mark();
  if (!isSingleAddress(address.block)) writer.uintElement(3, address.block.prefixLength);
  writer.bytes(2, ipToBytes(address.block.address));
  writer.string(1, address.network);
  writer.message(field, mark);
}

export function readNetworkAddress(path: string, reader: ProtoReader): WireNetworkAddress {
  const draft = {
    network: "",
    bytes: new Uint8Array(0) as Uint8Array,
    length: undefined as number | undefined,
  };
  readFields(
    reader,
    {
      1: (d, r) => (d.network = r.string()),
      2: (d, r) => (d.bytes = r.bytes(16)),
      3: (d, r) => (d.length = r.uint32()),
    },
    draft,
  );
  return { network: draft.network, block: cidrFromWire(path, draft.bytes, draft.length) };
}

export function writeGatewayAddress(
  writer: ProtoWriter,
  field: number,
  gateway: GatewayAddress | undefined,
): void {
  if (gateway === undefined) return;
  const mark = writer.mark();
  writer.uint(3, gateway.hboneMtlsPort);
  const { destination } = gateway;
  if (destination.kind === "hostname") {
    const inner = writer.mark();
    writer.string(2, destination.name.hostname);
    writer.string(1, destination.name.namespace);
    writer.message(1, inner);
  } else {
    const { network, ip } = destination.address;
    writeNetworkAddress(writer, 2, { network, block: cidr(ip, ipToBytes(ip).length * 8) });
  }
  writer.message(field, mark);
}

export function readGatewayAddress(path: string, reader: ProtoReader): GatewayAddress {
  const draft = { destination: undefined as GatewayAddress["destination"] | undefined, port: 0 };
  readFields(
    reader,
    {
      1: (d, r) => (d.destination = { kind: "hostname", name: readNamespacedHostname(r.message()) }),
      2: (d, r) => (d.destination = readGatewayIp(path, r.message())),
      3: (d, r) => (d.port = portFromWire(path, r.uint32())),
    },
    draft,
  );
  if (draft.destination === undefined) throw new WireError(path, "names no destination");
  return { destination: draft.destination, hboneMtlsPort: draft.port };
}

function readGatewayIp(path: string, reader: ProtoReader): GatewayAddress["destination"] {
  const { network, block } = readNetworkAddress(path, reader);
  if (!isSingleAddress(block)) throw new WireError(path, "must be a single address, not a block");
  return { kind: "address", address: { network, ip: block.address } };
}

function readNamespacedHostname(reader: ProtoReader): NamespacedHostname {
  const draft = { namespace: "", hostname: "" };
  return readFields(
    reader,
    { 1: (d, r) => (d.namespace = r.string()), 2: (d, r) => (d.hostname = r.string()) },
    draft,
  );
}
