/** Cluster DNS on a node: UDP and TCP sockets on the DNS addresses of the node's loopback device. */
import { createSocket, type Socket } from "node:dgram";
import { createServer, type Server, type Socket as TcpSocket } from "node:net";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { answerQuery } from "./dns-answer.ts";
import type { Zone } from "./dns-zone.ts";

export interface DnsServerOptions {
  readonly addresses: readonly string[];
  /** 53 in a cluster. */
  readonly port: number;
  /** Asked for each query, so that the owner can replace the zone at any time. */
  readonly zone: () => Zone;
  readonly log: Logger;
}

export interface DnsServer {
  close(): void;
}

const TCP_IDLE_MS = 10_000;
const TCP_MAX_CONNECTIONS = 128;

export async function startDnsServer(options: DnsServerOptions): Promise<DnsServer> {
  const closers: (() => void)[] = [];
  try {
    for (const address of options.addresses) {
      const udp = await listenUdp(options, address);
      closers.push(() => udp.close());
      const tcp = await listenTcp(options, address);
      closers.push(() => tcp.close());
    }
  } catch (error) {
    for (const close of closers) close();
    throw error;
  }
  return { close: () => closers.forEach((close) => close()) };
}

function listenUdp(options: DnsServerOptions, address: string): Promise<Socket> {
  const socket = createSocket({
    type: address.includes(":") ? "udp6" : "udp4",
    ...(address.includes(":") ? { ipv6Only: true } : {}),
  });
  socket.on("message", (query, from) => {
    const response = answerQuery(query, options.zone(), "udp");
    if (response !== undefined) socket.send(response, from.port, from.address, () => undefined);
  });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(options.port, address, () => {
      socket.off("error", reject);
      socket.on("error", (error) =>
        options.log.warn({ address, error: describeError(error) }, "dns socket failed"),
      );
      resolve(socket);
    });
  });
}

function listenTcp(options: DnsServerOptions, address: string): Promise<Server> {
  const server = createServer((socket) => serveStream(socket, options));
  server.maxConnections = TCP_MAX_CONNECTIONS;
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port: options.port, host: address, ipv6Only: true }, () => resolve(server));
  });
}

/** Messages with a two-byte length in front (RFC 7766); at most one message is kept. */
function serveStream(socket: TcpSocket, options: DnsServerOptions): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
      const end = 2 + pending.readUInt16BE(0);
      const response = answerQuery(pending.subarray(2, end), options.zone(), "tcp");
      pending = pending.subarray(end);
      if (response === undefined) {
        socket.destroy();
        return;
      }
      const length = Buffer.alloc(2);
      length.writeUInt16BE(response.length);
      socket.write(Buffer.concat([length, response]));
    }
  });
}
