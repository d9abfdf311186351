/**
 * Which backend carries the bytes. `AMBIT_HANDLES=raw|public` decides; without it the raw one is probed and used
 * when this Node has everything it needs, with one log line when it has not.
 */
import type { SocketAddress } from "../net/socket-address.ts";
import type { Handle } from "./handle.ts";
import type { Listener } from "./socket-factory.ts";
import type { TlsClientOptions, TlsHandle, TlsServerOptions } from "./tls-handle.ts";
import type { IpAddress } from "../net/ip.ts";

/** What one implementation of `Handle` can do. Handles of two backends must not be mixed. */
export interface HandleBackend {
  readonly name: "public" | "raw";
  /** Listens on a bound fd, which it owns from now on. `onConnection` runs synchronously per connection. */
  listenFd(fd: number, backlog: number, onConnection: (handle: Handle) => void): Listener;
  /** Listens on an address of this process's own namespace. Rejects with the system error. */
  listen(address: SocketAddress, backlog: number, onConnection: (handle: Handle) => void): Promise<Listener>;
  /** Connects an unconnected TCP fd, which it owns from now on. Rejects with the system error, ETIMEDOUT or the abort reason. */
  connectFd(fd: number, destination: SocketAddress, timeoutMs: number, signal?: AbortSignal): Promise<Handle>;
  /** Connects a new socket, optionally bound to `sourceIp`. */
  connect(options: BackendConnectOptions, signal?: AbortSignal): Promise<Handle>;
  /** Accepts TLS on a handle that was not started. On failure the handle is reset and the promise rejects. */
  tlsServer(tcp: Handle, tls: TlsServerOptions, signal?: AbortSignal): Promise<TlsHandle>;
  tlsClient(tcp: Handle, tls: TlsClientOptions, signal?: AbortSignal): Promise<TlsHandle>;
}

export interface BackendConnectOptions {
  readonly destination: SocketAddress;
  readonly sourceIp?: IpAddress;
  readonly timeoutMs: number;
}

export interface ChooseBackendOptions {
  /** Value of AMBIT_HANDLES; undefined probes. */
  readonly wanted?: "raw" | "public";
}

export declare function chooseBackend(options?: ChooseBackendOptions): HandleBackend;
