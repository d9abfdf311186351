/**
 * TCP sockets with what Node cannot set before bind: namespace, mark, transparency, port sharing. They are handed on
 * as descriptors (non-blocking, close-on-exec), to be wrapped by a Handle backend.
 */
import { closeSync } from "node:fs";
import { type IpAddress, type IpFamily, ip, ipFamily } from "../net/ip.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import { check, errno, libc } from "./libc.ts";
import { inNetns, type Netns } from "./netns.ts";
import {
  AF_INET,
  AF_INET6,
  anyAddress,
  decodeSocketAddress,
  encodeSocketAddress,
  int32,
} from "./socket-encoding.ts";
import { getSocketOption, readSocketOption, setSocketOption, SOL_SOCKET } from "./socket-options.ts";
import { isErrno, SystemCallError } from "./system-call-error.ts";

export interface TcpListenerOptions {
  readonly netns?: Netns;
  readonly port: number;
  readonly mark?: number;
  /** IP_TRANSPARENT: accept connections to addresses that are not local. Needs CAP_NET_ADMIN. */
  readonly transparent?: boolean;
  readonly backlog: number;
  /** `::` when absent: dual stack. */
  readonly bindIp?: string;
}

export interface TcpSocketOptions {
  readonly netns?: Netns;
  readonly family: IpFamily;
  readonly mark?: number;
  /** Source address, local or not: transparent and freebind, a port of 10240-32767. */
  readonly bindIp?: string;
}

const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SO_NETNS_COOKIE = 71;
/** Below the usual ephemeral range, so that it cannot meet the client's own live connection to the same port. */
const FIRST_SOURCE_PORT = 10_240;
const LAST_SOURCE_PORT = 32_767;
const SOURCE_PORTS = LAST_SOURCE_PORT - FIRST_SOURCE_PORT + 1;
const MAX_EXCLUSIVE_TRIES = 64;
const SHARED_TRIES = 64;
const EADDRINUSE = 98;

/**
 * A listening dual-stack socket. SO_REUSEPORT lets a new ztunnel bind beside the old one; SO_REUSEADDR, inherited by
 * accepted sockets, lets the application bind a port that captured connections use.
 */
export function tcpListenerFd(options: TcpListenerOptions): number {
  const make = (): number => {
    try {
      return listenOn(options, ip(options.bindIp ?? "::"));
    } catch (error) {
      if (options.bindIp !== undefined || !isErrno(error, "EAFNOSUPPORT", "EADDRNOTAVAIL")) throw error;
      return listenOn(options, anyAddress(4)); // a namespace without IPv6
    }
  };
  return options.netns === undefined ? make() : inNetns(options.netns, make);
}

/** A TCP socket that is not connected yet. */
export function tcpSocketFd(options: TcpSocketOptions): number {
  const make = (): number =>
    withSocket(options.family, (fd) => {
      setSocketOption(fd, "TCP_NODELAY", 1);
      if (options.mark !== undefined) setSocketOption(fd, "SO_MARK", options.mark);
      if (options.bindIp !== undefined) bindSource(fd, ip(options.bindIp), options.family);
    });
  return options.netns === undefined ? make() : inNetns(options.netns, make);
}

/** Identity of the socket's network namespace since boot, never reused (5.14). */
export function netnsCookie(fd: number): bigint {
  return readSocketOption(fd, SOL_SOCKET, SO_NETNS_COOKIE, 8).readBigUInt64LE(0);
}

export function socketMark(fd: number): number {
  return getSocketOption(fd, "SO_MARK");
}

/** Starts a non-blocking connect; completion shows as writability. Throws what the kernel refuses at once. */
export function startConnect(fd: number, destination: SocketAddress): void {
  const address = encodeSocketAddress(destination);
  const result = libc().connect(fd, address, address.length);
  if (result < 0) {
    try {
      check(result, "connect");
    } catch (error) {
      if (!isErrno(error, "EINPROGRESS")) throw error;
    }
  }
}

/** Address of this end. */
export function localAddress(fd: number): SocketAddress | undefined {
  const address = Buffer.alloc(28);
  const length = int32(address.length);
  check(libc().getsockname(fd, address, length), "getsockname");
  return decodeSocketAddress(address.subarray(0, length.readInt32LE(0)));
}

/** Address of the other end; undefined while not connected. */
export function remoteAddress(fd: number): SocketAddress | undefined {
  const address = Buffer.alloc(28);
  const length = int32(address.length);
  if (libc().getpeername(fd, address, length) < 0) return undefined;
  return decodeSocketAddress(address.subarray(0, length.readInt32LE(0)));
}

function listenOn(options: TcpListenerOptions, address: IpAddress): number {
  const family = ipFamily(address);
  return withSocket(family, (fd) => {
    if (family === 6) setSocketOption(fd, "IPV6_V6ONLY", address === "::" ? 0 : 1);
    if (options.mark !== undefined) setSocketOption(fd, "SO_MARK", options.mark);
    setSocketOption(fd, "SO_REUSEPORT", 1);
    setSocketOption(fd, "SO_REUSEADDR", 1);
    if (options.transparent === true) makeTransparent(fd, family);
    bindTo(fd, { ip: address, port: options.port });
    check(libc().listen(fd, options.backlog), "listen");
  });
}

/**
 * Ports are taken in turn, so that one comes round again as late as possible. First choice: a port that no socket has
 * with this address, not even one in TIME_WAIT. When many in a row are taken: any that the kernel lets us share; the
 * connect then fails with EADDRNOTAVAIL if the same connection exists.
 * IP_LOCAL_PORT_RANGE cannot do this: it is ignored outside the namespace's own range.
 */
function bindSource(fd: number, source: IpAddress, family: IpFamily): void {
  makeTransparent(fd, family);
  setSocketOption(fd, family === 4 ? "IP_FREEBIND" : "IPV6_FREEBIND", 1);
  if (!bindToFreePort(fd, source)) {
    setSocketOption(fd, "SO_REUSEADDR", 1);
    if (!bindToNextPort(fd, source, SHARED_TRIES))
      throw new SystemCallError("bind", EADDRINUSE, `${source}: no free port`);
  }
  // The application must be able to bind a port that this socket happens to use.
  setSocketOption(fd, "SO_REUSEADDR", 1);
}

let nextSourcePort = FIRST_SOURCE_PORT + Math.floor(Math.random() * SOURCE_PORTS);

/** Fewer tries while the range is used up (a minute's TIME_WAIT of all ports): they would double a connection's cost. */
let exclusiveTries = MAX_EXCLUSIVE_TRIES;

function bindToFreePort(fd: number, source: IpAddress): boolean {
  const found = bindToNextPort(fd, source, exclusiveTries);
  exclusiveTries = found
    ? Math.min(MAX_EXCLUSIVE_TRIES, exclusiveTries * 2)
    : Math.max(1, exclusiveTries >> 1);
  return found;
}

function bindToNextPort(fd: number, source: IpAddress, tries: number): boolean {
  for (let i = 0; i < tries; i++) {
    const port = nextSourcePort;
    nextSourcePort = port === LAST_SOURCE_PORT ? FIRST_SOURCE_PORT : port + 1;
    const encoded = encodeSocketAddress({ ip: source, port });
    const result = libc().bind(fd, encoded, encoded.length);
    if (result === 0) return true;
    if (errno() !== EADDRINUSE) check(result, "bind", `${source} port ${port}`);
  }
  return false;
}

function makeTransparent(fd: number, family: IpFamily): void {
  setSocketOption(fd, "IP_TRANSPARENT", 1);
  if (family === 6) setSocketOption(fd, "IPV6_TRANSPARENT", 1);
}

function bindTo(fd: number, address: SocketAddress): void {
  const encoded = encodeSocketAddress(address);
  check(libc().bind(fd, encoded, encoded.length), "bind", `${address.ip} port ${address.port}`);
}

function withSocket(family: IpFamily, prepare: (fd: number) => void): number {
  const domain = family === 4 ? AF_INET : AF_INET6;
  const fd = check(libc().socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  try {
    prepare(fd);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
