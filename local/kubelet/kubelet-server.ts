/**
 * What the API server asks of a kubelet, on a unix socket that only root can open: logs, exec and port-forward with the
 * paths and WebSocket sub-protocols of a real kubelet. The API server has authorized the user before.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { chmodSync, rmSync } from "node:fs";
import { WebSocketServer } from "ws";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { NodeContext } from "./node-context.ts";
import { logFile } from "./container.ts";
import { serveExec } from "./exec-session.ts";
import { sendLog } from "./log-reader.ts";
import type { PodManager } from "./pod-manager.ts";
import type { PodWorker } from "./pod-worker.ts";
import { servePortForward } from "./port-forward.ts";

export interface KubeletServerDeps {
  readonly context: NodeContext;
  readonly pods: PodManager;
  readonly socketPath: string;
  readonly log: Logger;
}

export interface KubeletTarget {
  readonly worker: PodWorker;
  readonly container: string;
}

const EXEC_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const FORWARD_PROTOCOLS = ["v4.channel.k8s.io", "portforward.k8s.io"];

export async function startKubeletServer(deps: KubeletServerDeps): Promise<Server> {
  const server = createServer((request, response) => {
    handle(deps, request, response).catch((error: unknown) => answer(response, 500, describeError(error)));
  });
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => chooseProtocol(offered),
    perMessageDeflate: false,
  });
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    upgrade(deps, sockets, { request, socket, head });
  });
  rmSync(deps.socketPath, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(deps.socketPath, resolve);
  });
  chmodSync(deps.socketPath, 0o600);
  return server;
}

function chooseProtocol(offered: ReadonlySet<string>): string | false {
  return [...EXEC_PROTOCOLS, ...FORWARD_PROTOCOLS].find((protocol) => offered.has(protocol)) ?? false;
}

async function handle(
  deps: KubeletServerDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://kubelet");
  const [verb, ...names] = url.pathname.split("/").slice(1).map(decodeURIComponent);
  if (verb === "healthz") return answer(response, 200, "ok");
  if (verb !== "containerLogs" || request.method !== "GET") return answer(response, 404, "not found");
  const target = findTarget(deps, names);
  if (typeof target === "string") return answer(response, 404, target);
  const loop = target.worker.loop(target.container);
  if (loop === undefined)
    return answer(
      response,
      400,
      `container "${target.container}" in pod "${names[1] ?? ""}" is waiting to start`,
    );
  const previous = url.searchParams.get("previous") === "true";
  if (previous && loop.attempt === 0)
    return answer(response, 400, `previous terminated container "${target.container}" not found`);
  const attempt = previous ? loop.attempt - 1 : loop.attempt;
  await sendLog(response, {
    path: logFile(deps.context, target.worker.pod, target.container, attempt),
    follow: url.searchParams.get("follow") === "true" && !previous,
    tailLines: integer(url.searchParams.get("tailLines")),
    limitBytes: integer(url.searchParams.get("limitBytes")),
    stillWritten: () => loop.running !== undefined && loop.attempt === attempt,
  });
}

interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

function upgrade(
  deps: KubeletServerDeps,
  sockets: WebSocketServer,
  { request, socket, head }: Upgrade,
): void {
  const url = new URL(request.url ?? "/", "http://kubelet");
  const [verb, ...names] = url.pathname.split("/").slice(1).map(decodeURIComponent);
  const target = findTarget(deps, verb === "portForward" ? names.slice(0, 2) : names);
  if (typeof target === "string") return refuse(socket, 404, target);
  if (verb === "portForward")
    return upgradeForward(deps, sockets, { request, socket, head }, { url, target });
  const running = target.worker.loop(target.container)?.running;
  if (verb !== "exec") return refuse(socket, 501, `${verb ?? ""} is not served by the local cluster`);
  if (running === undefined) return refuse(socket, 400, `container "${target.container}" is not running`);
  if (!url.searchParams.has("command"))
    return refuse(socket, 400, "you must specify at least 1 command for the container");
  const options = {
    command: url.searchParams.getAll("command"),
    stdin: isTrue(url.searchParams.get("stdin") ?? url.searchParams.get("input")),
    tty: isTrue(url.searchParams.get("tty")),
  };
  sockets.handleUpgrade(request, socket, head, (ws) => serveExec(ws, running, options));
}

function upgradeForward(
  deps: KubeletServerDeps,
  sockets: WebSocketServer,
  { request, socket, head }: Upgrade,
  { url, target }: { readonly url: URL; readonly target: KubeletTarget },
): void {
  const ports = url.searchParams
    .getAll("ports")
    .flatMap((text) => text.split(","))
    .map(Number);
  const bad =
    ports.length === 0 || ports.some((port) => !Number.isInteger(port) || port < 1 || port > 65_535);
  if (bad) return refuse(socket, 400, "ports must be numbers from 1 to 65535");
  sockets.handleUpgrade(request, socket, head, (ws) =>
    servePortForward(ws, ports, { context: deps.context, worker: target.worker }),
  );
}

/** `namespace/pod[/container]`; the only container when none is named. A text says what is missing. */
function findTarget(deps: KubeletServerDeps, names: readonly string[]): KubeletTarget | string {
  const [namespace = "", pod = "", container] = names;
  const worker = deps.pods.find(namespace, pod);
  if (worker === undefined) return `pod "${namespace}/${pod}" is not on this node`;
  const all = [...worker.pod.spec.containers, ...(worker.pod.spec.initContainers ?? [])];
  const name = container === undefined || container === "" ? worker.pod.spec.containers[0]?.name : container;
  if (name === undefined || !all.some((c) => c.name === name))
    return `container ${container ?? ""} not found in pod ${pod}`;
  return { worker, container: name };
}

function integer(text: string | null): number | undefined {
  return text !== null && /^\d{1,12}$/.test(text) ? Number(text) : undefined;
}

function isTrue(text: string | null): boolean {
  return text === "true" || text === "1";
}

function answer(response: ServerResponse, status: number, text: string): void {
  if (!response.headersSent) response.writeHead(status, { "content-type": "text/plain" });
  response.end(`${text}\n`);
}

function refuse(socket: Duplex, status: number, text: string): void {
  const body = `${text}\n`;
  socket.end(
    `HTTP/1.1 ${status} Refused\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
