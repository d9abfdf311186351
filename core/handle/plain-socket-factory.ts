/** Sockets in this process's own network namespace. */
import { ip } from "../net/ip.ts";
import type { HandleBackend } from "./handle-backend.ts";
import type { SocketFactory } from "./socket-factory.ts";

export function plainSocketFactory(backend: HandleBackend): SocketFactory {
  return {
    listen: (options, onConnection) =>
      backend.listen({ ip: ip("::"), port: options.port }, options.backlog, onConnection),
    connect: (options, signal) => backend.connect(options, signal),
  };
}
