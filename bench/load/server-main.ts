/**
 * The application behind the proxies. `echo PORT...` answers every byte with one, `sink PORT...` only counts.
 * A line on standard input asks for the counters; its end ends the program.
 */
import { createInterface } from "node:readline";
import type { ServerCounters } from "./messages.ts";
import { listenTcp, RawTcp } from "./raw-tcp.ts";

const [role, ...ports] = process.argv.slice(2);
let connections = 0;
let bytes = 0;

for (const port of ports) {
  listenTcp(Number(port), (wrap) => {
    connections++;
    const socket: RawTcp = new RawTcp(wrap, {
      onBytes: (count) => {
        bytes += count;
        if (role === "echo") socket.write(count);
      },
      onClosed: () => undefined,
    });
  });
}

function counters(): ServerCounters {
  return { connections, bytes, timeMs: performance.now() };
}

const input = createInterface({ input: process.stdin });
input.on("line", () => process.stdout.write(`${JSON.stringify(counters())}\n`));
input.on("close", () => process.exit(0));
process.stdout.write(`${JSON.stringify(counters())}\n`);
