/** Pure. Addresses as node:net and libuv print them, as values. IPv4 seen through a dual-stack socket is IPv4. */
import { isIPv4 } from "node:net";
import { type IpAddress, parseIp } from "../net/ip.ts";
import type { SocketAddress } from "../net/socket-address.ts";

const MAPPED = "::ffff:";
const UNKNOWN: SocketAddress = { ip: "0.0.0.0" as IpAddress, port: 0 };

/** Unknown (a socket that is no longer connected) is 0.0.0.0:0. */
export function wrapAddress(text: string | undefined, port: number | undefined): SocketAddress {
  if (text === undefined || port === undefined) return UNKNOWN;
  if (isIPv4(text)) return { ip: text as IpAddress, port };
  if (text.startsWith(MAPPED)) {
    const mapped = text.slice(MAPPED.length);
    if (isIPv4(mapped)) return { ip: mapped as IpAddress, port };
  }
  const zone = text.indexOf("%");
  const ip = parseIp(zone < 0 ? text : text.slice(0, zone));
  return ip.ok ? { ip: ip.value, port } : UNKNOWN;
}
