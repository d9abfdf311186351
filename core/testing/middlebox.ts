/** A TCP forwarder between two ends, which can do to their connections what networks do. For tests. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Middlebox {
  readonly port: number;
  /** Both ends see a RST. */
  reset(): void;
  /** Both ends see a FIN. */
  end(): void;
  /** Nothing passes any more, and nobody is told. */
  blackHole(): void;
  /** Bytes that make no TLS record, to both ends. */
  garbage(): void;
  close(): void;
}

export async function middlebox(targetPort: number): Promise<Middlebox> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port: targetPort, host: "127.0.0.1", allowHalfOpen: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => sockets.delete(socket));
    }
    near.pipe(far);
    far.pipe(near);
    near.on("close", () => far.resetAndDestroy());
    far.on("close", () => near.resetAndDestroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const detach = (): Socket[] => {
    for (const socket of sockets) {
      socket.unpipe();
      socket.removeAllListeners("close");
      socket.resume();
    }
    return [...sockets];
  };
  return {
    port: (server.address() as AddressInfo).port,
    reset: () => detach().forEach((socket) => socket.resetAndDestroy()),
    end: () => detach().forEach((socket) => socket.end()),
    blackHole: () => detach().forEach((socket) => socket.removeAllListeners("end").pause()),
    garbage: () => detach().forEach((socket) => socket.write(Buffer.alloc(64, 0x41))),
    close: () => {
      server.close();
      for (const socket of detach()) socket.destroy();
    },
  };
}
