/** Links, addresses, policy rules and routes of a namespace (rtnetlink(7)). Adding what exists and removing what does not is fine. */
import { formatIp, type IpAddress } from "../net/ip.ts";
import type { NetlinkSocket } from "./netlink.ts";
import {
  attributeOf,
  decodeAttributes,
  encodeAttribute,
  type NetlinkMessage,
  NLM_F,
  textOf,
  uint32,
} from "./netlink-encoding.ts";
import type { AF_INET, AF_INET6 } from "./socket-encoding.ts";
import { isErrno } from "./system-call-error.ts";

export const RTM = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  newAddress: 20,
  delAddress: 21,
  getAddress: 22,
  newRoute: 24,
  delRoute: 25,
  newRule: 32,
  delRule: 33,
} as const;

/** Multicast groups of link and address events. */
export const LINK_AND_ADDRESS_GROUPS = 0x1 | 0x10 | 0x100;

export type RouteFamily = typeof AF_INET | typeof AF_INET6;

export interface Link {
  readonly ifindex: number;
  readonly name: string;
  /** Frames have an Ethernet header. */
  readonly ethernet: boolean;
  readonly loopback: boolean;
  readonly up: boolean;
}

export interface InterfaceAddress {
  readonly ifindex: number;
  readonly ip: IpAddress;
}

export interface MarkRule {
  readonly priority: number;
  readonly mark: number;
  readonly mask: number;
  readonly table: number;
}

const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
const IFF_UP = 1;
const IFF_LOOPBACK = 8;
const IFLA_IFNAME = 3;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const FRA = { priority: 6, mark: 10, table: 15, mask: 16 } as const;
const FR_ACT_TO_TABLE = 1;
const RTA_OIF = 4;
const RTA_TABLE = 15;
const RTPROT_STATIC = 4;
const RTN_LOCAL = 2;
const RT_SCOPE_HOST = 254;

export function listLinks(socket: NetlinkSocket): readonly Link[] {
  return socket.dump(RTM.getLink, Buffer.alloc(16)).flatMap((m) => decodeLink(m) ?? []);
}

export function listAddresses(socket: NetlinkSocket): readonly InterfaceAddress[] {
  return socket.dump(RTM.getAddress, Buffer.alloc(8)).flatMap((m) => decodeAddress(m) ?? []);
}

/** A link from RTM_NEWLINK or RTM_DELLINK. */
export function decodeLink(message: NetlinkMessage): Link | undefined {
  if (message.body.length < 16) return undefined;
  const kind = message.body.readUInt16LE(2);
  const flags = message.body.readUInt32LE(8);
  const name = textOf(decodeAttributes(message.body.subarray(16)), IFLA_IFNAME);
  if (name === undefined) return undefined;
  return {
    ifindex: message.body.readInt32LE(4),
    name,
    ethernet: kind === ARPHRD_ETHER,
    loopback: kind === ARPHRD_LOOPBACK || (flags & IFF_LOOPBACK) !== 0,
    up: (flags & IFF_UP) !== 0,
  };
}

/** An address from RTM_NEWADDR or RTM_DELADDR; on point-to-point links the local end. */
export function decodeAddress(message: NetlinkMessage): InterfaceAddress | undefined {
  if (message.body.length < 8) return undefined;
  const attributes = decodeAttributes(message.body.subarray(8));
  const bytes = attributeOf(attributes, IFA_LOCAL) ?? attributeOf(attributes, IFA_ADDRESS);
  if (bytes === undefined || (bytes.length !== 4 && bytes.length !== 16)) return undefined;
  return { ifindex: message.body.readUInt32LE(4), ip: formatIp(bytes) };
}

/** `ip rule add pref P fwmark M/MASK lookup T`; whether it was missing. */
export function addMarkRule(socket: NetlinkSocket, family: RouteFamily, rule: MarkRule): boolean {
  const flags = NLM_F.create | NLM_F.excl;
  return tolerate(() => socket.request({ type: RTM.newRule, flags, body: ruleBody(family, rule) }), "EEXIST");
}

export function deleteMarkRule(socket: NetlinkSocket, family: RouteFamily, rule: MarkRule): void {
  tolerate(
    () => socket.request({ type: RTM.delRule, body: ruleBody(family, rule) }),
    "ENOENT",
    "EAFNOSUPPORT",
  );
}

/** `ip route add local default dev lo table T`: everything looked up there is delivered here. Whether it was missing. */
export function addLocalDefault(socket: NetlinkSocket, family: RouteFamily, table: number): boolean {
  const flags = NLM_F.create | NLM_F.excl;
  const body = localDefaultBody(family, table);
  return tolerate(() => socket.request({ type: RTM.newRoute, flags, body }), "EEXIST");
}

export function deleteLocalDefault(socket: NetlinkSocket, family: RouteFamily, table: number): void {
  const body = localDefaultBody(family, table);
  tolerate(() => socket.request({ type: RTM.delRoute, body }), "ESRCH", "ENOENT", "EAFNOSUPPORT");
}

function ruleBody(family: RouteFamily, rule: MarkRule): Buffer {
  const head = Buffer.alloc(12);
  head[0] = family;
  head[4] = rule.table < 256 ? rule.table : 0;
  head[7] = FR_ACT_TO_TABLE;
  return Buffer.concat([
    head,
    encodeAttribute(FRA.priority, uint32(rule.priority)),
    encodeAttribute(FRA.mark, uint32(rule.mark)),
    encodeAttribute(FRA.mask, uint32(rule.mask)),
    encodeAttribute(FRA.table, uint32(rule.table)),
  ]);
}

function localDefaultBody(family: RouteFamily, table: number): Buffer {
  const head = Buffer.alloc(12);
  head[0] = family;
  head[4] = table < 256 ? table : 0;
  head[5] = RTPROT_STATIC;
  head[6] = RT_SCOPE_HOST;
  head[7] = RTN_LOCAL;
  const loopbackIndex = 1;
  return Buffer.concat([
    head,
    encodeAttribute(RTA_OIF, uint32(loopbackIndex)),
    encodeAttribute(RTA_TABLE, uint32(table)),
  ]);
}

/** False when the work failed with one of these. */
function tolerate(work: () => void, ...names: readonly string[]): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (!isErrno(error, ...names)) throw error;
    return false;
  }
}
