/** The shop's catalog: answers with its products, and says who asked, so that a caller sees which address arrived. */
import { createServer } from "node:http";
import { hostname } from "node:os";
import { EnvReader } from "#core/runtime/env.ts";

const PRODUCTS = [
  { id: 1, name: "lantern", price: 12 },
  { id: 2, name: "compass", price: 30 },
  { id: 3, name: "rope", price: 8 },
];

const port = new EnvReader().port("PORT", { default: 8080, help: "port to listen on" });
let served = 0;

const server = createServer((request, response) => {
  const path = (request.url ?? "/").split("?")[0];
  const known = path === "/" || path === "/products" || path === "/ready";
  served++;
  response.writeHead(known ? 200 : 404, { "content-type": "application/json", "x-served-by": hostname() });
  const body =
    path === "/ready"
      ? { ready: true }
      : { products: PRODUCTS, client: request.socket.remoteAddress, served };
  response.end(`${JSON.stringify(known ? body : { error: "no such page" })}\n`);
});
server.keepAliveTimeout = 75_000;
server.listen({ port, host: "::" });
process.on("SIGTERM", () => server.close(() => process.exit(0)));
