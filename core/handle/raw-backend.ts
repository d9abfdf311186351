/** The backend on libuv handles, when this Node has them. */
import type { AmbitError } from "../runtime/errors.ts";
import { AmbitError as AmbitErrorClass } from "../runtime/errors.ts";
import { systemError } from "./handle-errors.ts";
import type { HandleBackend } from "./handle-backend.ts";
import { loadRawBindings, type RawBindings, type TcpWrap } from "./raw-bindings.ts";
import { bindWrap, rawConnect, rawListen } from "./raw-tcp-handle.ts";
import { rawTls } from "./raw-tls-handle.ts";

export type RawBackend =
  | { readonly kind: "available"; readonly backend: HandleBackend }
  | { readonly kind: "unavailable"; readonly error: AmbitError };

let probed: RawBackend | undefined;

/** Probed once per process. */
export function rawBackend(): RawBackend {
  probed ??= probe();
  return probed;
}

function probe(): RawBackend {
  try {
    return { kind: "available", backend: createRawBackend(loadRawBindings()) };
  } catch (error) {
    if (error instanceof AmbitErrorClass) return { kind: "unavailable", error };
    throw error;
  }
}

function createRawBackend(bindings: RawBindings): HandleBackend {
  return {
    name: "raw",
    listenFd: (fd, backlog, onConnection) =>
      rawListen(bindings, adoptFd(bindings.newServer(), fd), backlog, onConnection),
    listen: async (address, backlog, onConnection) => {
      const server = bindings.newServer();
      bindWrap(server, address);
      return rawListen(bindings, server, backlog, onConnection);
    },
    connectFd: async (fd, destination, timeoutMs, signal) =>
      rawConnect(bindings, adoptFd(bindings.newSocket(), fd), { destination, timeoutMs, signal }),
    connect: async (options, signal) => {
      const wrap = bindings.newSocket();
      if (options.sourceIp !== undefined) bindWrap(wrap, { ip: options.sourceIp, port: 0 });
      return rawConnect(bindings, wrap, { ...options, signal });
    },
    tlsServer: (tcp, tls, signal) => rawTls(bindings, tcp, "server", { ...tls, signal }),
    tlsClient: (tcp, tls, signal) => rawTls(bindings, tcp, "client", { ...tls, signal }),
  };
}

function adoptFd(wrap: TcpWrap, fd: number): TcpWrap {
  const status = wrap.open(fd);
  if (status === 0) return wrap;
  wrap.close();
  throw systemError(status, "open");
}
