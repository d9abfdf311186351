/** Pure. C structures of the socket calls: sockaddr_in, sockaddr_in6, sockaddr_un (sockaddr.h, ipv6.h, un.h). */
import { type IpAddress, type IpFamily, formatIp, ipFamily, ipToBytes, ipToMappedBytes } from "../net/ip.ts";
import type { SocketAddress } from "../net/socket-address.ts";

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;

const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;
const SUN_PATH_BYTES = 108;

/** The wildcard and IPv4 addresses on an IPv6 socket are written in IPv6 form: pass the socket's family. */
export function encodeSocketAddress(address: SocketAddress, family: IpFamily = ipFamily(address.ip)): Buffer {
  if (family === 4) {
    const bytes = Buffer.alloc(SOCKADDR_IN_BYTES);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16BE(address.port, 2);
    bytes.set(ipToBytes(address.ip), 4);
    return bytes;
  }
  const bytes = Buffer.alloc(SOCKADDR_IN6_BYTES);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(address.port, 2);
  bytes.set(ipToMappedBytes(address.ip), 8);
  return bytes;
}

/** The address in a sockaddr that the kernel wrote; undefined for other families. */
export function decodeSocketAddress(bytes: Buffer): SocketAddress | undefined {
  if (bytes.length < SOCKADDR_IN_BYTES) return undefined;
  const family = bytes.readUInt16LE(0);
  const port = bytes.readUInt16BE(2);
  if (family === AF_INET) return { ip: formatIp(bytes.subarray(4, 8)), port };
  if (family !== AF_INET6 || bytes.length < SOCKADDR_IN6_BYTES) return undefined;
  return { ip: formatIp(bytes.subarray(8, 24)), port };
}

/** sockaddr_un of a path; throws when it does not fit with its terminating zero (unix(7)). */
export function encodeUnixAddress(path: string): Buffer {
  const text = Buffer.from(path, "utf8");
  if (text.length === 0 || text.length >= SUN_PATH_BYTES)
    throw new RangeError(`a socket path has 1 to ${SUN_PATH_BYTES - 1} bytes; "${path}" has ${text.length}`);
  const bytes = Buffer.alloc(2 + text.length + 1);
  bytes.writeUInt16LE(AF_UNIX, 0);
  text.copy(bytes, 2);
  return bytes;
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

/** The wildcard address of a family. */
export function anyAddress(family: IpFamily): IpAddress {
  return formatIp(new Uint8Array(family === 4 ? 4 : 16));
}
