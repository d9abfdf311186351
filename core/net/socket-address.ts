/** Pure. Address and port of one end of a connection. */
import { type Parsed, parsed, problem } from "../base/parse-result.ts";
import { type IpAddress, ipFamily, parseIp } from "./ip.ts";

export interface SocketAddress {
  readonly ip: IpAddress;
  readonly port: number;
}

export function socketAddress(address: IpAddress, port: number): SocketAddress {
  return { ip: address, port };
}

/** `10.0.0.5:80` or `[2001:db8::1]:80`: the form of HBONE authorities and of logs. */
export function formatSocketAddress(address: SocketAddress): string {
  return ipFamily(address.ip) === 6 ? `[${address.ip}]:${address.port}` : `${address.ip}:${address.port}`;
}

/** Parses exactly the form that `formatSocketAddress` writes (any valid address text). */
export function parseSocketAddress(text: string): Parsed<SocketAddress> {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const address = match === null ? undefined : parseIp(match[1] ?? match[2] ?? "");
  const port = Number(match?.[3]);
  if (address?.ok !== true || port > 65_535 || (match?.[1] !== undefined && !match[1].includes(":"))) {
    return problem("", `"${text.slice(0, 80)}" is not an address with a port`);
  }
  return parsed({ ip: address.value, port });
}
