/**
 * Uses the shop's database all the time: one session that stays, asked every PERIOD, and a new session every PERIOD. Counts on
 * PORT (`GET /stats`); the session that stays is never opened again, so that its loss shows.
 */
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { EnvReader } from "#core/runtime/env.ts";

const env = new EnvReader();
const host = env.string("DB_HOST", { default: "db", help: "where the database is" });
const dbPort = env.port("DB_PORT", { default: 5432, help: "its port" });
const periodMs = env.durationMs("PERIOD", { default: 100, help: "time between two questions" });
const port = env.port("PORT", { default: 9090, help: "port of /stats and /ready" });
const ANSWER_MS = 10_000;

/** `peer`: which address the database has last seen as ours. */
const kept = { asked: 0, answered: 0, lost: "", peer: "" };
const fresh = { tried: 0, ok: 0, failed: 0 };
const reasons = new Map<string, number>();

interface SessionEvents {
  onReady(): void;
  onValue(peer: string): void;
  onEnd(reason: string): void;
}

function open(events: SessionEvents): Socket {
  const socket = connect({ host, port: dbPort });
  let greeted = false;
  const lines = createInterface({ input: socket });
  lines.on("error", () => undefined); // the socket's, told once more
  lines.on("line", (line) => {
    if (!greeted && line === "shopdb 1 ready") {
      greeted = true;
      events.onReady();
    } else if (greeted && line.startsWith("value ")) events.onValue(line.split(" ")[2] ?? "");
    else socket.destroy(new Error(`said ${line.slice(0, 40)}`));
  });
  socket.on("error", (error: NodeJS.ErrnoException) => events.onEnd(error.code ?? error.message));
  socket.on("close", () => events.onEnd("closed"));
  return socket;
}

/** Until the first session has been greeted, nothing counts. */
function begin(): void {
  let ready = false;
  const socket = open({
    onReady: () => {
      ready = true;
      setInterval(() => {
        if (kept.lost !== "") return;
        kept.asked++;
        socket.write("get kept\n");
      }, periodMs);
      setInterval(askOnce, periodMs);
    },
    onValue: (peer) => {
      kept.answered++;
      kept.peer = peer;
    },
    onEnd: (reason) => {
      if (ready) kept.lost ||= reason;
      else setTimeout(begin, periodMs);
    },
  });
}

function askOnce(): void {
  fresh.tried++;
  let over = false;
  const end = (reason: string): void => {
    if (over) return;
    over = true;
    socket.destroy();
    clearTimeout(timer);
    if (reason === "") fresh.ok++;
    else fresh.failed++;
    if (reason !== "" && reasons.size < 100) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  };
  const socket = open({
    onReady: () => socket.write("get once\n"),
    onValue: () => end(""),
    onEnd: end,
  });
  const timer = setTimeout(() => end("no answer in time"), ANSWER_MS);
}
begin();

const server = createServer((request, response) => {
  const ready = kept.answered > 0;
  response.writeHead(request.url === "/ready" && !ready ? 503 : 200, { "content-type": "application/json" });
  response.end(`${JSON.stringify({ kept, fresh, reasons: Object.fromEntries(reasons) })}\n`);
});
server.listen({ port, host: "::" });
process.on("SIGTERM", () => process.exit(0));
