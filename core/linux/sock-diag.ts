/**
 * TCP sockets of a namespace as the kernel sees them (sock_diag(7)): list with marks and with the socket storage of
 * one BPF map, and destroy (needs CONFIG_INET_DIAG_DESTROY; both ends see an error).
 */
import { formatIp } from "../net/ip.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import { NETLINK_SOCK_DIAG, type NetlinkSocket, withNetlink } from "./netlink.ts";
import {
  decodeAttributes,
  encodeAttribute,
  NLA_NESTED,
  type NetlinkMessage,
  u32Of,
  uint32,
} from "./netlink-encoding.ts";
import type { Netns } from "./netns.ts";
import { AF_INET, AF_INET6 } from "./socket-encoding.ts";
import { isErrno } from "./system-call-error.ts";

export const TCP_STATES = [
  "",
  "ESTAB",
  "SYN-SENT",
  "SYN-RECV",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "TIME-WAIT",
  "CLOSED",
  "CLOSE-WAIT",
  "LAST-ACK",
  "LISTEN",
  "CLOSING",
  "NEW-SYN-RECV",
] as const;

export type TcpState = (typeof TCP_STATES)[number];

export interface TcpSocketEntry {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly state: TcpState;
  readonly mark: number;
  /** Has an entry in the storage map that was asked for. */
  readonly stored: boolean;
  readonly inode: number;
  readonly family: number;
  /** inet_diag_sockid: names this very socket by its cookie. */
  readonly id: Buffer;
}

const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const IPPROTO_TCP = 6;
const REQ_SK_BPF_STORAGES = 2;
const SK_DIAG_BPF_STORAGE_REQ_MAP_FD = 1;
const DIAG_MARK = 15;
const DIAG_SK_BPF_STORAGES = 20;
const REQUEST_BYTES = 56;
const ID_BYTES = 48;
const ENTRY_BYTES = 72;
const ALL_STATES = 0xfff;

export const LISTEN_STATES = 1 << TCP_STATES.indexOf("LISTEN");
export const CONNECTED_STATES = ALL_STATES & ~LISTEN_STATES;

export interface ListOptions {
  readonly netns?: Netns;
  /** Bit mask of states, `CONNECTED_STATES` unless given. */
  readonly states?: number;
  /** Descriptor of a socket storage map: fills `stored`. */
  readonly storageMap?: number;
}

export function listTcpSockets(options: ListOptions): readonly TcpSocketEntry[] {
  return withNetlink(NETLINK_SOCK_DIAG, options.netns, (socket) =>
    [AF_INET, AF_INET6].flatMap((family) => {
      const request = encodeListRequest(family, options.states ?? CONNECTED_STATES, options.storageMap);
      return socket.dump(SOCK_DIAG_BY_FAMILY, request).flatMap((m) => decodeEntry(m) ?? []);
    }),
  );
}

/** Destroys exactly these sockets (by cookie); returns how many were still there. */
export function destroyTcpSockets(netns: Netns | undefined, entries: readonly TcpSocketEntry[]): number {
  if (entries.length === 0) return 0;
  return withNetlink(
    NETLINK_SOCK_DIAG,
    netns,
    (socket) => entries.filter((entry) => destroy(socket, entry)).length,
  );
}

export function encodeListRequest(family: number, states: number, storageMap?: number): Buffer {
  const body = Buffer.alloc(REQUEST_BYTES);
  body[0] = family;
  body[1] = IPPROTO_TCP;
  body.writeUInt32LE(states, 4);
  if (storageMap === undefined) return body;
  const map = encodeAttribute(SK_DIAG_BPF_STORAGE_REQ_MAP_FD, uint32(storageMap));
  return Buffer.concat([body, encodeAttribute(REQ_SK_BPF_STORAGES | NLA_NESTED, map)]);
}

export function encodeDestroyRequest(entry: TcpSocketEntry): Buffer {
  const body = Buffer.alloc(REQUEST_BYTES);
  body[0] = entry.family;
  body[1] = IPPROTO_TCP;
  body.writeUInt32LE(ALL_STATES, 4);
  entry.id.copy(body, 8);
  return body;
}

export function decodeEntry(message: NetlinkMessage): TcpSocketEntry | undefined {
  const { body } = message;
  if (message.type !== SOCK_DIAG_BY_FAMILY || body.length < ENTRY_BYTES) return undefined;
  const family = body.readUInt8(0);
  const length = family === AF_INET ? 4 : 16;
  const attributes = decodeAttributes(body.subarray(ENTRY_BYTES));
  return {
    family,
    state: TCP_STATES[body.readUInt8(1)] ?? "",
    local: { ip: formatIp(body.subarray(8, 8 + length)), port: body.readUInt16BE(4) },
    remote: { ip: formatIp(body.subarray(24, 24 + length)), port: body.readUInt16BE(6) },
    mark: u32Of(attributes, DIAG_MARK) ?? 0,
    stored: attributes.some((a) => a.type === DIAG_SK_BPF_STORAGES && a.value.length > 4),
    inode: body.readUInt32LE(68),
    id: Buffer.from(body.subarray(4, 4 + ID_BYTES)),
  };
}

function destroy(socket: NetlinkSocket, entry: TcpSocketEntry): boolean {
  try {
    socket.request({ type: SOCK_DESTROY, body: encodeDestroyRequest(entry) });
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESTALE")) return false;
    throw error;
  }
}
