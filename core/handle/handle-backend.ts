/** What one implementation of `Handle` can do. Handles of two backends must not be mixed. */
import type { IpAddress } from "../net/ip.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import type { Handle } from "./handle.ts";
import type { Listener } from "./socket-factory.ts";
import type { TlsClientOptions, TlsHandle, TlsServerOptions } from "./tls-handle.ts";

export interface HandleBackend {
  readonly name: "public" | "raw";
  /** Listens on a bound fd, which it owns from now on; throws the system error. `onConnection` runs synchronously. */
  listenFd(fd: number, backlog: number, onConnection: (handle: Handle) => void): Listener;
  /** Listens on an address of this process's own namespace. Rejects with the system error. */
  listen(address: SocketAddress, backlog: number, onConnection: (handle: Handle) => void): Promise<Listener>;
  /**
   * Connects an unconnected TCP fd, which it owns from now on. Rejects with the system error
   * (ECONNREFUSED, ETIMEDOUT, ...) or the abort reason.
   */
  connectFd(fd: number, destination: SocketAddress, timeoutMs: number, signal?: AbortSignal): Promise<Handle>;
  /** Connects a new socket, optionally bound to `sourceIp`. Rejects as `connectFd` does. */
  connect(options: BackendConnectOptions, signal?: AbortSignal): Promise<Handle>;
  /** Accepts TLS on a handle that was not started. On failure the handle is gone and the promise rejects. */
  tlsServer(tcp: Handle, tls: TlsServerOptions, signal?: AbortSignal): Promise<TlsHandle>;
  tlsClient(tcp: Handle, tls: TlsClientOptions, signal?: AbortSignal): Promise<TlsHandle>;
}

export interface BackendConnectOptions {
  readonly destination: SocketAddress;
  readonly sourceIp?: IpAddress;
  /** Milliseconds. */
  readonly timeoutMs: number;
}
