/**
 * Small HTTP servers for operators: readiness, metrics, admin. Not for user traffic.
 * A change needs POST, and a request with an `Origin` header is refused,
 * so that a web page in an operator's browser can do nothing.
 */
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { describeError } from "./errors.ts";

/** Not by `import`, which reads every export of the module and so loads a whole web client: 5 to 15 MB per daemon. */
const { createServer } = process.getBuiltinModule("node:http");

export interface EndpointReply {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}

export type EndpointHandler = (url: URL, request: IncomingMessage) => EndpointReply | Promise<EndpointReply>;

export interface Endpoint {
  readonly port: number;
  close(): Promise<void>;
}

export interface EndpointOptions {
  readonly port: number;
  /** `127.0.0.1` for admin ports, `::` for probes and scrapes. */
  readonly host: string;
  /** `GET /path` or `POST /path` to handler. */
  readonly routes: Readonly<Record<string, EndpointHandler>>;
}

export async function listenEndpoint(options: EndpointOptions): Promise<Endpoint> {
  const server = createServer((request, response) => {
    void answer(options.routes, request).then((reply) => {
      response.writeHead(reply.status, { "content-type": reply.contentType ?? "text/plain; charset=utf-8" });
      response.end(reply.body);
    });
  });
  server.maxHeadersCount = 64;
  server.headersTimeout = 5_000;
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port: options.port, host: options.host }, resolve);
  });
  return { port: (server.address() as AddressInfo).port, close: () => closeServer(server) };
}

async function answer(routes: EndpointOptions["routes"], request: IncomingMessage): Promise<EndpointReply> {
  const url = URL.parse(request.url ?? "/", "http://localhost");
  if (url === null) return { status: 400, body: "bad request target\n" };
  if (request.headers.origin !== undefined)
    return { status: 403, body: "requests from web pages are refused\n" };
  const handler = routes[`${request.method} ${url.pathname}`];
  if (handler === undefined) {
    const known = ["GET", "POST"].some((method) => routes[`${method} ${url.pathname}`] !== undefined);
    return known ? { status: 405, body: "wrong method\n" } : { status: 404, body: "not found\n" };
  }
  try {
    return await handler(url, request);
  } catch (error) {
    return { status: 500, body: `${describeError(error)}\n` };
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
