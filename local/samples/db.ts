/**
 * The shop's database, of a protocol in which the server speaks first: `shopdb 1 ready`, then a line `get KEY` is answered
 * by a line `value KEY PEER`. Nothing that reads the first bytes of a client would ever see one before the greeting.
 */
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { EnvReader } from "#core/runtime/env.ts";

const port = new EnvReader().port("PORT", { default: 5432, help: "port to listen on" });

const server = createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.write("shopdb 1 ready\n");
  const lines = createInterface({ input: socket });
  lines.on("error", () => socket.destroy()); // the socket's, told once more
  lines.on("line", (line) => {
    const key = /^get (\w{1,64})$/.exec(line)?.[1];
    socket.write(key === undefined ? "error\n" : `value ${key} ${socket.remoteAddress}\n`);
  });
});
server.listen({ port, host: "::" });
process.on("SIGTERM", () => process.exit(0));
