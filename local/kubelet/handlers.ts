/**
 * HTTP, TCP and exec handlers of probes and lifecycle hooks. Connections are made by this very process in the node's network
 * namespace: that is how the capture knows a probe. The answer is a value; nothing here throws.
 */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { ContainerSpec, HandlerSpec } from "./pod-types.ts";

export type HandlerResult = { readonly passed: true } | { readonly passed: false; readonly why: string };

export interface HandlerTarget {
  readonly podIp: string;
  readonly container: ContainerSpec;
  /** Runs a command inside the container; the result is its exit status and what it wrote. */
  readonly exec: (
    command: readonly string[],
    timeoutMs: number,
  ) => Promise<{ readonly code: number; readonly output: string }>;
}

const PASSED: HandlerResult = { passed: true };

export async function runHandler(
  handler: HandlerSpec,
  target: HandlerTarget,
  timeoutMs: number,
): Promise<HandlerResult> {
  if (handler.exec !== undefined) {
    const { code, output } = await target.exec(handler.exec.command ?? [], timeoutMs);
    return code === 0 ? PASSED : failed(`command exited with ${code}: ${output.slice(0, 200)}`);
  }
  if (handler.httpGet !== undefined) return probeHttp(handler.httpGet, target, timeoutMs);
  if (handler.tcpSocket !== undefined) return probeTcp(handler.tcpSocket, target, timeoutMs);
  if (handler.sleep !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, (handler.sleep?.seconds ?? 0) * 1000));
    return PASSED;
  }
  return failed("a kind of handler that the local cluster does not have");
}

/** Numbers stay, names are looked up among the container's ports. */
export function resolvePort(port: number | string, container: ContainerSpec): number | undefined {
  if (typeof port === "number") return port;
  const named = container.ports?.find((p) => p.name === port)?.containerPort;
  return named ?? (/^\d{1,5}$/.test(port) ? Number(port) : undefined);
}

function failed(why: string): HandlerResult {
  return { passed: false, why };
}

function probeHttp(
  get: NonNullable<HandlerSpec["httpGet"]>,
  target: HandlerTarget,
  timeoutMs: number,
): Promise<HandlerResult> {
  const port = resolvePort(get.port, target.container);
  if (port === undefined) return Promise.resolve(failed(`couldn't find port ${get.port}`));
  const host = get.host ?? target.podIp;
  const secure = (get.scheme ?? "HTTP").toUpperCase() === "HTTPS";
  const headers: Record<string, string> = {
    "user-agent": "kube-probe/1.35",
    accept: "*/*",
    connection: "close",
  };
  for (const { name, value } of get.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  return new Promise((resolve) => {
    const options = { host, port, path: get.path ?? "/", headers, agent: false, rejectUnauthorized: false };
    const request = (secure ? httpsRequest : httpRequest)(options, (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      clearTimeout(timer);
      resolve(
        status >= 200 && status < 400 ? PASSED : failed(`HTTP probe failed with statuscode: ${status}`),
      );
    });
    const timer = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    request.on("error", (error) => {
      clearTimeout(timer);
      resolve(failed(`Get "http://${host}:${port}${get.path ?? "/"}": ${error.message}`));
    });
    request.end();
  });
}

function probeTcp(
  tcp: NonNullable<HandlerSpec["tcpSocket"]>,
  target: HandlerTarget,
  timeoutMs: number,
): Promise<HandlerResult> {
  const port = resolvePort(tcp.port, target.container);
  if (port === undefined) return Promise.resolve(failed(`couldn't find port ${tcp.port}`));
  const host = tcp.host ?? target.podIp;
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (result: HandlerResult): void => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(timeoutMs, () => end(failed(`dial tcp ${host}:${port}: i/o timeout`)));
    socket.on("error", (error) => end(failed(`dial tcp ${host}:${port}: ${error.message}`)));
    socket.on("connect", () => end(PASSED));
  });
}
