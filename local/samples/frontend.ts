/** The shop's front: each page asks the catalog (CATALOG_URL) over a connection of its own. 502 when the catalog cannot be reached. */
import { createServer, get, type ServerResponse } from "node:http";
import { EnvReader } from "#core/runtime/env.ts";

const CATALOG_TIMEOUT_MS = 5_000;

const env = new EnvReader();
const port = env.port("PORT", { default: 8080, help: "port to listen on" });
const catalog = env.string("CATALOG_URL", {
  default: "http://catalog:8080/items",
  help: "where the catalog is",
});

function show(response: ServerResponse): void {
  const request = get(catalog, { agent: false, timeout: CATALOG_TIMEOUT_MS }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, { "content-type": "application/json" });
    answer.pipe(response);
  });
  request.on("timeout", () => request.destroy(new Error("the catalog did not answer in time")));
  request.on("error", (error) => {
    response.writeHead(502, { "content-type": "application/json" });
    response.end(`${JSON.stringify({ error: error.message })}\n`);
  });
}

const server = createServer((request, response) => {
  if (request.url !== "/ready") return show(response);
  response.writeHead(200);
  response.end("ok\n");
});
server.listen({ port, host: "::" });
process.on("SIGTERM", () => server.close(() => process.exit(0)));
