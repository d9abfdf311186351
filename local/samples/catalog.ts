/**
 * The shop's catalog: answers with its items, and says who asked, so that a caller sees which address arrived. Every
 * request that reaches it is a line of its log, the kubelet's probes left out: what is not there has not arrived.
 */
import { createServer, type IncomingMessage } from "node:http";
import { hostname } from "node:os";
import { EnvReader } from "#core/runtime/env.ts";

const ITEMS = [
  { id: 1, name: "lantern", price: 12 },
  { id: 2, name: "compass", price: 30 },
  { id: 3, name: "rope", price: 8 },
];
const PAGES = /^\/(items(\/\d+)?)?$/;

const port = new EnvReader().port("PORT", { default: 8080, help: "port to listen on" });
let served = 0;

function note(request: IncomingMessage): void {
  const { method, url, headers, socket } = request;
  const [id, caller] = [headers["x-request-id"], headers["x-forwarded-client-cert"]];
  const line = { method, path: url, client: socket.remoteAddress, id, caller };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const server = createServer((request, response) => {
  const path = (request.url ?? "/").split("?")[0] ?? "/";
  const known = path === "/ready" || PAGES.test(path);
  served++;
  if (path !== "/ready") note(request);
  response.writeHead(known ? 200 : 404, { "content-type": "application/json", "x-served-by": hostname() });
  const body =
    path === "/ready" ? { ready: true } : { items: ITEMS, client: request.socket.remoteAddress, served };
  response.end(`${JSON.stringify(known ? body : { error: "no such page" })}\n`);
});
server.keepAliveTimeout = 75_000;
server.listen({ port, host: "::" });
process.on("SIGTERM", () => server.close(() => process.exit(0)));
