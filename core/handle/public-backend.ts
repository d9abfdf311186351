/** The backend on node:net and node:tls. */
import type { X509Certificate } from "node:crypto";
import { createServer, type ListenOptions, type Server, Socket } from "node:net";
import { formatSocketAddress, type SocketAddress } from "../net/socket-address.ts";
import { AmbitError } from "../runtime/errors.ts";
import type { Handle } from "./handle.ts";
import { connectTimeout, HANDLE_LISTEN_FAILED, HANDLE_TLS_FAILED } from "./handle-errors.ts";
import type { BackendConnectOptions, HandleBackend } from "./handle-backend.ts";
import { PublicHandle } from "./public-handle.ts";
import type { Listener } from "./socket-factory.ts";
import { KEEPALIVE_IDLE_SECONDS } from "./tcp-settings.ts";
import type { TlsHandle, TlsOptions } from "./tls-handle.ts";
import { handshake, type TlsFacts, type TlsRole } from "./tls-setup.ts";

const SOCKET_OPTIONS = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEPALIVE_IDLE_SECONDS * 1000,
} as const;

export const publicBackend: HandleBackend = {
  name: "public",
  listenFd: (fd, backlog, onConnection) => {
    const server = createListener(onConnection);
    server.once("error", () => undefined); // comes later than this returns, and is said below
    server.listen({ fd, backlog });
    if (!server.listening) throw new AmbitError(HANDLE_LISTEN_FAILED, "cannot listen on that descriptor");
    return listenerOf(server, fd);
  },
  listen: (address, backlog, onConnection) => listen(address, backlog, onConnection),
  connectFd: (fd, destination, timeoutMs, signal) => {
    const socket = new Socket({ fd, manualStart: true, ...SOCKET_OPTIONS } as object);
    return connectSocket(socket, { destination, timeoutMs }, signal);
  },
  connect: (options, signal) => connectSocket(new Socket(SOCKET_OPTIONS), options, signal),
  tlsServer: (tcp, tls, signal) => publicTls(tcp, "server", { ...tls, signal }),
  tlsClient: (tcp, tls, signal) => publicTls(tcp, "client", { ...tls, signal }),
};

class PublicTlsHandle extends PublicHandle implements TlsHandle {
  readonly peerCertificate: X509Certificate;
  readonly cipher: string;
  readonly protocol: string;

  constructor(socket: Socket, transport: Socket, facts: TlsFacts) {
    super({ socket, transport });
    this.peerCertificate = facts.peerCertificate;
    this.cipher = facts.cipher;
    this.protocol = facts.protocol;
  }
}

function createListener(onConnection: (handle: Handle) => void): Server {
  return createServer({ ...SOCKET_OPTIONS, pauseOnConnect: true }, (socket) =>
    onConnection(new PublicHandle({ socket })),
  );
}

function listen(
  address: SocketAddress,
  backlog: number,
  onConnection: (handle: Handle) => void,
): Promise<Listener> {
  const server = createListener(onConnection);
  const options: ListenOptions = { host: address.ip, port: address.port, backlog };
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options, () => {
      server.removeListener("error", reject);
      resolve(listenerOf(server, undefined));
    });
  });
}

function listenerOf(server: Server, fd: number | undefined): Listener {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { port, fd, close: () => server.close() };
}

function connectSocket(
  socket: Socket,
  options: BackendConnectOptions,
  signal: AbortSignal | undefined,
): Promise<Handle> {
  const { destination, sourceIp, timeoutMs } = options;
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      finish();
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(signal?.reason as Error);
    const onConnect = (): void => {
      finish();
      socket.pause();
      resolve(new PublicHandle({ socket }));
    };
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      socket.removeListener("connect", onConnect);
      // The listener stays: an error after an abort must not become an uncaught exception.
    };
    const timer = setTimeout(
      () => fail(connectTimeout(formatSocketAddress(destination), timeoutMs)),
      timeoutMs,
    );
    socket.on("error", fail);
    socket.once("connect", onConnect);
    if (signal?.aborted === true) {
      onAbort();
      return;
    }
    signal?.addEventListener("abort", onAbort);
    const bind = sourceIp === undefined ? {} : { localAddress: sourceIp };
    socket.connect({ host: destination.ip, port: destination.port, ...bind });
  });
}

function publicTls(
  tcp: Handle,
  role: TlsRole,
  options: TlsOptions & { readonly signal?: AbortSignal | undefined },
): Promise<TlsHandle> {
  if (!(tcp instanceof PublicHandle) || tcp.closed) {
    return Promise.reject(
      new AmbitError(HANDLE_TLS_FAILED, "TLS needs an open plain handle of the same backend"),
    );
  }
  const socket = tcp.handOver();
  return handshake(socket, role, options, (tls, facts) => {
    tls.pause();
    return new PublicTlsHandle(tls, socket, facts);
  });
}
