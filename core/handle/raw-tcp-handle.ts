/** Plain TCP on libuv's TCP wrap: accepted, adopted by fd, or newly connected. */
import { type IpAddress, ipFamily } from "../net/ip.ts";
import { formatSocketAddress, type SocketAddress } from "../net/socket-address.ts";
import type { Handle } from "./handle.ts";
import { connectTimeout, systemError } from "./handle-errors.ts";
import type { AddressOut, RawBindings, TcpWrap } from "./raw-bindings.ts";
import { RawStream } from "./raw-stream.ts";
import type { RawStreamParts, RawTerminator } from "./raw-wrap.ts";
import type { Listener } from "./socket-factory.ts";
import { KEEPALIVE_IDLE_SECONDS } from "./tcp-settings.ts";
import { wrapAddress } from "./wrap-address.ts";

class RawTcpHandle extends RawStream {
  readonly tcpWrap: TcpWrap;

  constructor(parts: RawStreamParts, wrap: TcpWrap) {
    super(parts);
    this.tcpWrap = wrap;
  }
}

/** Takes the wrap out of an open plain raw handle, which is dead afterwards; undefined for any other handle. */
export function takeTcpWrap(handle: Handle): TcpWrap | undefined {
  if (!(handle instanceof RawTcpHandle) || handle.closed) return undefined;
  handle.handOver();
  return handle.tcpWrap;
}

/** For a connected wrap with its options set. */
function rawTcpHandle(bindings: RawBindings, wrap: TcpWrap): Handle {
  const local: AddressOut = {};
  const remote: AddressOut = {};
  wrap.getsockname(local);
  wrap.getpeername(remote);
  return new RawTcpHandle(
    {
      bindings,
      wrap,
      terminator: tcpTerminator,
      local: wrapAddress(local.address, local.port),
      remote: wrapAddress(remote.address, remote.port),
      copiesOnWrite: false,
    },
    wrap,
  );
}

function setOptions(wrap: TcpWrap): void {
  wrap.setNoDelay(true);
  wrap.setKeepAlive(true, KEEPALIVE_IDLE_SECONDS);
}

/** One for all: a closure less per connection. */
const tcpTerminator: RawTerminator = {
  close: (wrap, done) => wrap.close(done),
  reset: (wrap, done) => {
    if ((wrap as TcpWrap).reset(done) !== 0) wrap.close(done);
  },
  resetWaitsForShutdown: true,
};

/** Listens on an open wrap (bound or adopted by fd), which it closes on failure. Throws the system error. */
export function rawListen(
  bindings: RawBindings,
  server: TcpWrap,
  backlog: number,
  onConnection: (handle: Handle) => void,
): Listener {
  setOptions(server); // Linux: accepted sockets inherit them
  server.onconnection = (status, client) => {
    if (status === 0) onConnection(rawTcpHandle(bindings, client));
  };
  const status = server.listen(backlog);
  if (status !== 0) {
    server.close();
    throw systemError(status, "listen");
  }
  const address: AddressOut = {};
  server.getsockname(address);
  return { port: address.port ?? 0, fd: server.fd, close: () => server.close() };
}

export function bindWrap(wrap: TcpWrap, address: SocketAddress): void {
  const { ip, port } = address;
  const status = ipFamily(ip) === 6 ? wrap.bind6(ip, port, 0) : wrap.bind(ip, port);
  if (status === 0) return;
  wrap.close();
  throw systemError(status, "bind");
}

export interface RawConnectOptions {
  readonly destination: SocketAddress;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Connects an unconnected wrap, which is closed on failure. */
export function rawConnect(
  bindings: RawBindings,
  wrap: TcpWrap,
  options: RawConnectOptions,
): Promise<Handle> {
  const { destination, timeoutMs, signal } = options;
  return new Promise((resolve, reject) => {
    let settled = false;
    const settle = (error: unknown): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      if (error === undefined) {
        setOptions(wrap);
        resolve(rawTcpHandle(bindings, wrap));
        return;
      }
      wrap.close();
      reject(error as Error);
    };
    const onAbort = (): void => settle(signal?.reason);
    const timer = setTimeout(
      () => settle(connectTimeout(formatSocketAddress(destination), timeoutMs)),
      timeoutMs,
    );
    if (signal?.aborted === true) {
      onAbort();
      return;
    }
    signal?.addEventListener("abort", onAbort);
    const status = startConnect(bindings, wrap, destination, settle);
    if (status !== 0) settle(systemError(status, "connect"));
  });
}

function startConnect(
  bindings: RawBindings,
  wrap: TcpWrap,
  destination: { readonly ip: IpAddress; readonly port: number },
  settle: (error: unknown) => void,
): number {
  const request = bindings.newConnectRequest();
  request.oncomplete = (status) => {
    request.oncomplete = noop; // C++ keeps the request until the next full collection
    settle(status === 0 ? undefined : systemError(status, "connect"));
  };
  const { ip, port } = destination;
  return ipFamily(ip) === 6 ? wrap.connect6(request, ip, port) : wrap.connect(request, ip, port);
}

function noop(): void {}
