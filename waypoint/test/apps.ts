/** Applications behind the waypoint, on real sockets; each tells what it has seen. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import type { IpAddress } from "#core/net/ip.ts";

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  /** Tells connections apart. */
  readonly connection: number;
}

export interface TestApp {
  readonly port: number;
  readonly requests: readonly SeenRequest[];
  /** Connections accepted so far. */
  readonly connections: number;
  close(): Promise<void>;
}

type Answer = (request: SeenRequest, response: ServerResponse) => void;

const hello: Answer = ({ method, url }, response) => void response.end(`${method} ${url}`);

/** Reads each request to its end, then answers. */
export async function httpApp(host: IpAddress, answer: Answer = hello, port = 0): Promise<TestApp> {
  const requests: SeenRequest[] = [];
  const ids = new WeakMap<Socket, number>();
  let connections = 0;
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString("latin1")));
    request.on("end", () => {
      const { method = "", url = "", headers, socket } = request;
      const seen = { method, url, headers, body, connection: ids.get(socket) ?? 0 };
      requests.push(seen);
      answer(seen, response);
    });
  });
  server.on("connection", (socket) => ids.set(socket, ++connections));
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    get connections() {
      return connections;
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

export interface TcpApp {
  readonly port: number;
  readonly sockets: readonly Socket[];
  close(): Promise<void>;
}

/** Whatever the test does with each socket. */
export async function tcpApp(host: IpAddress, onSocket: (socket: Socket) => void): Promise<TcpApp> {
  const sockets: Socket[] = [];
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    onSocket(socket);
  });
  await listen(server, host, 0);
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function listen(
  server: Server | ReturnType<typeof createTcpServer>,
  host: string,
  port: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
}

/** Polls until `check` gives something other than undefined or false. */
export async function eventually<T>(what: string, check: () => T | undefined | false): Promise<T> {
  for (let i = 0; i < 1_000; i++) {
    const value = check();
    if (value !== undefined && value !== false) return value;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`not in time: ${what}`);
}
