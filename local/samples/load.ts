/**
 * A steady load: RATE requests a second to TARGET_URL, half over connections of their own, half over KEEPALIVE kept ones.
 * Begins (and is ready) once the target has answered for the first time. Counts on PORT (`GET /stats`). A request that fails is
 * counted with its reason. Repeated, once and on a connection of its own, is only what every client repeats: a GET on a kept
 * connection that ended before a byte of the answer came; that is counted as retried. An answer that took longer than HELD_AFTER
 * counts as held.
 * `POST /recycle` opens new kept connections and closes each old one as soon as it is idle.
 */
import { Agent, createServer, get } from "node:http";
import type { Socket } from "node:net";
import { EnvReader } from "#core/runtime/env.ts";

const env = new EnvReader();
const target = env.string("TARGET_URL", { default: "http://catalog:8080/items", help: "address to ask" });
const rate = env.integer("RATE", { default: 200, min: 1, max: 10_000, help: "requests a second" });
const kept = env.integer("KEEPALIVE", { default: 8, min: 1, max: 1_000, help: "connections that stay open" });
const port = env.port("PORT", { default: 8080, help: "port of /stats and /ready" });
const heldAfterMs = env.durationMs("HELD_AFTER", { default: 500, help: "a longer answer counts as held" });

const TICK_MS = 20;
const KNOCK_MS = 100;
const REQUEST_TIMEOUT_MS = 35_000;

interface Count {
  tried: number;
  ok: number;
  failed: number;
  held: number;
  retried: number;
}
const counts: Record<"fresh" | "kept", Count> = {
  fresh: { tried: 0, ok: 0, failed: 0, held: 0, retried: 0 },
  kept: { tried: 0, ok: 0, failed: 0, held: 0, retried: 0 },
};
const reasons = new Map<string, number>();
/** When each request that has no answer yet was asked, the oldest first. */
const waiting = new Set<{ readonly askedMs: number }>();
let keptAgent = newKeptAgent();

function newKeptAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: kept, maxFreeSockets: kept });
}

/** Nothing is interrupted: a busy connection is closed when its answer has come. */
function recycle(): void {
  const old = keptAgent;
  keptAgent = newKeptAgent();
  const closeIdle = setInterval(() => {
    for (const socket of Object.values(old.freeSockets).flatMap((sockets) => sockets ?? [])) socket.destroy();
    const open = [old.sockets, old.freeSockets].some((sockets) => Object.keys(sockets).length > 0);
    if (!open) clearInterval(closeIdle);
  }, TICK_MS);
}

function note(reason: string): void {
  if (reasons.size < 100 || reasons.has(reason)) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
}

function ask(kind: "fresh" | "kept"): void {
  const count = counts[kind];
  count.tried++;
  const asked = { askedMs: performance.now() };
  waiting.add(asked);
  let over = false;
  const end = (failure: string | undefined): void => {
    if (over) return;
    over = true;
    waiting.delete(asked);
    if (performance.now() - asked.askedMs > heldAfterMs) count.held++;
    if (failure === undefined) count.ok++;
    else count.failed++;
    if (failure !== undefined) note(`${kind}: ${failure}`);
  };
  const again = (): void => {
    count.retried++;
    send(false, end, end);
  };
  send(kind === "kept" ? keptAgent : false, end, again);
}

/** Connections that have carried a request: `reusedSocket` says nothing of one that had to wait for its connection. */
const used = new WeakSet<Socket>();

type Ended = (failure: string | undefined) => void;

/** `unanswered`: a kept connection ended with nothing of an answer. */
function send(agent: Agent | false, end: Ended, unanswered: Ended): void {
  const request = get(target, { agent, timeout: REQUEST_TIMEOUT_MS }, (answer) => {
    answer.resume();
    answer.on("end", () => end(answer.statusCode === 200 ? undefined : `status ${answer.statusCode}`));
    answer.on("error", (error) => end(error.message));
  });
  let isReused = false;
  request.on("socket", (socket) => {
    isReused = used.has(socket);
    used.add(socket);
  });
  request.on("timeout", () => request.destroy(new Error("no answer in time")));
  request.on("error", (error: NodeJS.ErrnoException) => {
    const lost = isReused && (error.code === "ECONNRESET" || error.code === "EPIPE");
    (lost ? unanswered : end)(reasonOf(error));
  });
}

function reasonOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message;
}

let began: number | undefined;
let sent = 0;
/** Sends what is due; after a pause the missed requests are made up for, so that `tried` tells the truth about the rate. */
function sendDue(start: number): void {
  const due = Math.floor(((performance.now() - start) / 1000) * rate);
  for (; sent < due; sent++) ask(sent % 2 === 0 ? "fresh" : "kept");
}

function knock(): void {
  const request = get(target, { agent: false, timeout: REQUEST_TIMEOUT_MS }, (answer) => {
    answer.resume();
    if (answer.statusCode !== 200) return setTimeout(knock, KNOCK_MS);
    const start = performance.now();
    began = start;
    return setInterval(() => sendDue(start), TICK_MS);
  });
  request.on("timeout", () => request.destroy());
  request.on("error", () => setTimeout(knock, KNOCK_MS));
}
knock();

const server = createServer((request, response) => {
  if (request.method === "POST" && request.url === "/recycle") recycle();
  const isReady = began !== undefined;
  response.writeHead(request.url === "/ready" && !isReady ? 503 : 200, {
    "content-type": "application/json",
  });
  const seconds = began === undefined ? 0 : (performance.now() - began) / 1000;
  const [oldest] = waiting;
  const oldestMs = oldest === undefined ? 0 : performance.now() - oldest.askedMs;
  const body = { ...counts, oldestMs, seconds, rate, reasons: Object.fromEntries(reasons) };
  response.end(`${JSON.stringify(request.url === "/ready" ? { ready: isReady } : body)}\n`);
});
server.listen({ port, host: "::" });
process.on("SIGTERM", () => process.exit(0));
