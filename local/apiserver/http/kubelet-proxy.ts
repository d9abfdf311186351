/**
 * `pods/log`, `exec` and `portforward`: passed to the kubelet of the pod's node. WebSockets are passed through byte for
 * byte; SPDY, which no client needs any more, is refused with 501.
 */
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { V1Pod } from "@kubernetes/client-node";
import type { KubeletConnector } from "../apiserver-options.ts";
import type { RestDeps, Target } from "../rest/context.ts";
import { readObject } from "../rest/modify.ts";
import { badRequest, StatusError } from "./status-error.ts";

const CONNECT_TIMEOUT_MS = 10_000;
const STREAM_HEADERS = [
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-protocol",
  "sec-websocket-extensions",
];

export interface KubeletTarget {
  readonly socketPath: string;
  readonly path: string;
}

/** Where a request goes; throws 400 for an unknown container and 503 when the node has no kubelet. */
export function kubeletTarget(
  deps: RestDeps,
  target: Target,
  query: URLSearchParams,
  kubelets: KubeletConnector | undefined,
): KubeletTarget {
  const pod = readObject(deps, target) as unknown as V1Pod;
  const node = pod.spec?.nodeName ?? "";
  if (node === "") throw badRequest(`pod ${target.name} does not have a host assigned`);
  const socketPath = kubelets?.socketPath(node);
  if (socketPath === undefined) throw new StatusError(503, `no kubelet is running on node "${node}"`);
  const forwarded = new URLSearchParams(query);
  forwarded.delete("container");
  const place = `${encodeURIComponent(target.namespace)}/${encodeURIComponent(target.name)}`;
  const suffix = forwarded.size === 0 ? "" : `?${forwarded.toString()}`;
  if (target.subresource === "portforward") return { socketPath, path: `/portForward/${place}${suffix}` };
  const container = encodeURIComponent(containerOf(pod, query.get("container") ?? ""));
  const verb = target.subresource === "log" ? "containerLogs" : target.subresource;
  return { socketPath, path: `/${verb}/${place}/${container}${suffix}` };
}

function containerOf(pod: V1Pod, wanted: string): string {
  const { containers = [], initContainers = [] } = pod.spec ?? {};
  const names = [...containers, ...initContainers].map((container) => container.name);
  const chosen = wanted === "" && containers.length === 1 ? (names[0] ?? "") : wanted;
  if (names.includes(chosen)) return chosen;
  if (chosen !== "") throw badRequest(`container ${chosen} is not valid for pod ${pod.metadata?.name}`);
  throw badRequest(
    `a container name must be specified for pod ${pod.metadata?.name}, choose one of: [${names.join(" ")}]`,
  );
}

/** Streams the kubelet's answer; ends with the client. */
export function proxyLog(to: KubeletTarget, response: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = http.get({ socketPath: to.socketPath, path: to.path, agent: false }, (upstream) => {
      request.setTimeout(0); // following a quiet log is not a failure
      response.writeHead(upstream.statusCode ?? 502, {
        "content-type": upstream.headers["content-type"] ?? "text/plain",
        "cache-control": "no-cache",
      });
      response.flushHeaders();
      upstream.pipe(response);
      upstream.on("error", () => response.destroy());
      resolve();
    });
    request.setTimeout(CONNECT_TIMEOUT_MS, () => request.destroy(new Error("timeout")));
    request.on("error", (error) => {
      if (response.headersSent) response.destroy();
      reject(new StatusError(503, `the kubelet does not answer: ${error.message}`));
    });
    response.on("close", () => request.destroy());
  });
}

/** Hands a WebSocket over to the kubelet. Rejects, with nothing written, when it does not switch protocols. */
export function proxyUpgrade(
  to: KubeletTarget,
  client: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const headers: Record<string, string> = { host: "kubelet", connection: "Upgrade", upgrade: "websocket" };
  for (const name of STREAM_HEADERS) {
    const value = client.headers[name];
    if (typeof value === "string") headers[name] = value;
  }
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath: to.socketPath, path: to.path, headers, agent: false });
    request.setTimeout(CONNECT_TIMEOUT_MS, () => request.destroy(new Error("timeout")));
    request.on("error", (error) =>
      reject(new StatusError(503, `the kubelet does not answer: ${error.message}`)),
    );
    request.on("response", (upstream) => {
      const chunks: Buffer[] = [];
      upstream.on("data", (chunk: Buffer) => chunks.push(chunk));
      upstream.on("end", () =>
        reject(new StatusError(upstream.statusCode ?? 502, Buffer.concat(chunks).toString().slice(0, 1000))),
      );
    });
    request.on("upgrade", (upstream, kubelet, kubeletHead) => {
      request.setTimeout(0);
      kubelet.setTimeout(0);
      const lines = Object.entries(upstream.headers).map(
        ([name, value]) => `${name}: ${[value].flat().join(", ")}`,
      );
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("\r\n")}\r\n\r\n`);
      socket.write(kubeletHead);
      kubelet.write(head);
      splice(socket, kubelet);
      resolve();
    });
    socket.on("close", () => request.destroy());
    request.end();
  });
}

function splice(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  }
}

export function isWebSocket(request: IncomingMessage): boolean {
  return String(request.headers.upgrade ?? "").toLowerCase() === "websocket";
}
