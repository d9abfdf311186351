/**
 * Pure. The destinations that capture's self-test connects to (documentation addresses, discard port): a connection to
 * one of them proves by being accepted that ztunnel received it. Nobody is ever dialled for it.
 */
import { ip, type IpAddress } from "../net/ip.ts";
import type { SocketAddress } from "../net/socket-address.ts";

export const CAPTURE_PROBE_ADDRESS: Readonly<Record<4 | 6, IpAddress>> = {
  4: ip("192.0.2.1"),
  6: ip("2001:db8::1"),
};
export const CAPTURE_PROBE_PORT = 9;

export function isCaptureProbe(destination: SocketAddress): boolean {
  return (
    destination.port === CAPTURE_PROBE_PORT && Object.values(CAPTURE_PROBE_ADDRESS).includes(destination.ip)
  );
}
