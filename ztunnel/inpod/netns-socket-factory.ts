/**
 * Sockets inside a pod's network namespace: the only way by which ztunnel touches a pod. Every one carries ztunnel's
 * mark (else it would be captured again) and is checked to belong to the pod, since a dial from ztunnel's own namespace
 * would reach its admin port.
 */
import { closeSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { HandleBackend } from "#core/handle/choose-handle.ts";
import type { Handle } from "#core/handle/handle.ts";
import type { ConnectOptions, Listener, ListenOptions } from "#core/handle/socket-factory.ts";
import { inNetns, type Netns } from "#core/linux/netns.ts";
import { isErrno } from "#core/linux/system-call-error.ts";
import { netnsCookie, tcpListenerFd, tcpSocketFd } from "#core/linux/tcp-socket.ts";
import { takenPortText } from "#core/model/taken-port.ts";
import { ZTUNNEL_MARK } from "#core/model/well-known.ts";
import { type IpAddress, ipFamily, parseIp } from "#core/net/ip.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { PodSockets } from "../proxy/pod-sockets.ts";

/** Takes over `netns`: `close` closes it. Throws when it is not another namespace than this process's own. */
export function netnsPodSockets(backend: HandleBackend, netns: Netns): PodSockets {
  const cookie = cookieOf(netns);
  if (cookie === cookieOf(undefined)) {
    throw new AmbitError("POD_NETNS_IS_OWN", "the announced namespace is ztunnel's own: a hostNetwork pod?");
  }
  return {
    listen: (options, onConnection) =>
      listen(backend, checked(cookie, listenerFd(netns, options)), options, onConnection),
    connect: (options, signal) => connect(backend, checked(cookie, dialFd(netns, options)), options, signal),
    hasAddress: (address) => inNetns(netns, () => deviceAddresses().has(address)),
    close: () => netns.close(),
  };
}

function listen(
  backend: HandleBackend,
  fd: number,
  options: ListenOptions,
  onConnection: (handle: Handle) => void,
): Promise<Listener> {
  return Promise.resolve(backend.listenFd(fd, options.backlog, onConnection));
}

function connect(
  backend: HandleBackend,
  fd: number,
  options: ConnectOptions,
  signal: AbortSignal | undefined,
): Promise<Handle> {
  return backend.connectFd(fd, options.destination, options.timeoutMs, signal);
}

function listenerFd(netns: Netns, { port, backlog }: ListenOptions): number {
  try {
    return tcpListenerFd({ netns, port, backlog, mark: ZTUNNEL_MARK, transparent: true });
  } catch (error) {
    if (!isErrno(error, "EADDRINUSE")) throw error;
    throw new AmbitError("POD_PORT_TAKEN", takenPortText(port), { cause: error });
  }
}

function dialFd(netns: Netns, { destination, sourceIp }: ConnectOptions): number {
  const family = ipFamily(destination.ip);
  // A client of the other family (4-in-6 never happens: addresses are canonical) cannot be imitated.
  const bindIp = sourceIp !== undefined && ipFamily(sourceIp) === family ? sourceIp : undefined;
  return tcpSocketFd({ netns, family, mark: ZTUNNEL_MARK, ...(bindIp === undefined ? {} : { bindIp }) });
}

/** The descriptor, if its namespace is the pod's; else it is closed and this throws. */
function checked(cookie: bigint, fd: number): number {
  if (netnsCookie(fd) === cookie) return fd;
  closeSync(fd);
  throw new AmbitError("POD_NETNS_MISMATCH", "a socket was made in another namespace than the pod's");
}

function cookieOf(netns: Netns | undefined): bigint {
  const fd = tcpSocketFd({ ...(netns === undefined ? {} : { netns }), family: 4 });
  try {
    return netnsCookie(fd);
  } finally {
    closeSync(fd);
  }
}

function deviceAddresses(): ReadonlySet<IpAddress> {
  const found = new Set<IpAddress>();
  for (const { address } of Object.values(networkInterfaces()).flatMap((infos) => infos ?? [])) {
    const parsed = parseIp(address);
    if (parsed.ok) found.add(parsed.value);
  }
  return found;
}
