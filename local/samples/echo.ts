/** Answers every request with what it saw of the caller, as JSON. */
import { createServer } from "node:http";
import { hostname } from "node:os";
import { EnvReader } from "#core/runtime/env.ts";

const port = new EnvReader().port("PORT", { default: 8080, help: "port to listen on" });
let failing = false;

const server = createServer((request, response) => {
  const url = URL.parse(request.url ?? "/", "http://echo");
  if (request.method === "POST" && url?.pathname === "/fail") failing = true;
  const status = url?.pathname === "/ready" && failing ? 503 : 200;
  const seen = {
    hostname: hostname(),
    client: request.socket.remoteAddress,
    method: request.method,
    path: request.url,
    headers: request.headers,
  };
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(seen)}\n`);
});
server.listen({ port, host: "::" });
process.on("SIGTERM", () => server.close(() => process.exit(0)));
