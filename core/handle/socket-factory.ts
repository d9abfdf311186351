/**
 * Where sockets come from: the only way by which a proxy reaches the network. One implementation makes plain
 * sockets, one makes them inside a pod's network namespace with ztunnel's mark; the proxies cannot tell.
 */
import type { SocketAddress } from "../net/socket-address.ts";
import type { IpAddress } from "../net/ip.ts";
import type { Handle } from "./handle.ts";

export interface ListenOptions {
  readonly port: number;
  readonly backlog: number;
}

export interface Listener {
  readonly port: number;
  /** File descriptor of the listening socket, for those who hand it over. */
  readonly fd: number | undefined;
  /** Stops accepting; connections already accepted live on. */
  close(): void;
}

export interface ConnectOptions {
  readonly destination: SocketAddress;
  /** Keep the original client's address: transparent bind to it. */
  readonly sourceIp?: IpAddress;
  /** Milliseconds until the attempt fails with ETIMEDOUT. */
  readonly timeoutMs: number;
}

export interface SocketFactory {
  /** Dual-stack listener. `onConnection` runs once per accepted connection, synchronously. */
  listen(options: ListenOptions, onConnection: (handle: Handle) => void): Promise<Listener>;
  /** A connected TCP handle, not yet started. Rejects with the system error (ECONNREFUSED, ETIMEDOUT, ...). */
  connect(options: ConnectOptions, signal?: AbortSignal): Promise<Handle>;
}
