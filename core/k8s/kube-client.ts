/**
 * Plain JSON requests to a Kubernetes API. @kubernetes/client-node reads the kubeconfig and authenticates; the typed
 * clients are not used, since they keep whole objects and drop unknown fields. Every request has a deadline.
 */
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, type RequestOptions, request as httpsRequest } from "node:https";
import type { KubeConfig } from "@kubernetes/client-node";
import { deadline } from "../base/abort.ts";
import { AmbitError } from "../runtime/errors.ts";
import { jsonObject, jsonText } from "./json-read.ts";

export interface KubeRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From `kindPath`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  /** Until the whole answer is there; 30 s unless told. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface KubeStream {
  readonly response: IncomingMessage;
  abort(): void;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 256 * 1_048_576;

/** Codes: `KUBE_UNREACHABLE` (retryable), `KUBE_STATUS` with `fields.status` (the HTTP status) and `fields.reason`. */
export class KubeClient {
  readonly #config: KubeConfig;
  #agent: HttpAgent | HttpsAgent | undefined;

  constructor(config: KubeConfig) {
    this.#config = config;
  }

  /** Sends one request and parses the JSON answer. Throws AmbitError. */
  async json(request: KubeRequest): Promise<unknown> {
    const signal = deadline(request.timeoutMs ?? DEFAULT_TIMEOUT_MS, request.signal);
    const response = await this.#send(request, signal);
    const text = await readText(response, request.path);
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw statusError(request, status, text);
    try {
      return JSON.parse(text) as unknown;
    } catch (cause) {
      throw new AmbitError("KUBE_BAD_ANSWER", `${request.path} did not answer JSON`, {
        cause,
        retryable: true,
      });
    }
  }

  /** A GET whose answer is plain text, such as a pod's log. */
  async text(path: string, query: KubeRequest["query"] = {}): Promise<string> {
    const request: KubeRequest = { method: "GET", path, query };
    const response = await this.#send(request, deadline(DEFAULT_TIMEOUT_MS));
    const text = await readText(response, path);
    const status = response.statusCode ?? 0;
    if (status !== 200) throw statusError(request, status, text);
    return text;
  }

  /** Opens a streaming GET (watch). The caller reads `response`; the time until the headers is bounded. */
  async stream(request: KubeRequest): Promise<KubeStream> {
    const controller = new AbortController();
    const cancel = setTimeout(
      () => controller.abort(new DOMException("no answer to the watch request", "TimeoutError")),
      request.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    );
    const parent = request.signal;
    const signal = parent === undefined ? controller.signal : AbortSignal.any([controller.signal, parent]);
    try {
      const response = await this.#send(request, signal);
      const status = response.statusCode ?? 0;
      if (status !== 200) throw statusError(request, status, await readText(response, request.path));
      return { response, abort: () => controller.abort() };
    } finally {
      clearTimeout(cancel);
    }
  }

  /** Closes idle connections. */
  close(): void {
    this.#agent?.destroy();
    this.#agent = undefined;
  }

  async #send(request: KubeRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const server = this.#config.getCurrentCluster()?.server;
    if (server === undefined) throw new AmbitError("KUBE_NO_CLUSTER", "the kubeconfig names no cluster");
    const url = new URL(server.replace(/\/$/, "") + request.path);
    for (const [key, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(key, value);
    }
    const options = await this.#options(url, request);
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    // Said explicitly: Node sends the body of a DELETE without any length.
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const headers = { ...(options.headers as Record<string, string>), ...length };
    return new Promise<IncomingMessage>((resolve, reject) => {
      const send = url.protocol === "https:" ? httpsRequest : httpRequest;
      const outgoing = send(url, { ...options, headers, signal }, resolve);
      outgoing.on("error", (cause: Error) => reject(unreachable(request, url.host, cause)));
      outgoing.end(body);
    });
  }

  async #options(url: URL, request: KubeRequest): Promise<RequestOptions> {
    const options: RequestOptions = { headers: {} };
    await this.#config.applyToHTTPSOptions(options);
    const { ca, cert, key, rejectUnauthorized, servername } = options;
    this.#agent ??=
      url.protocol === "https:"
        ? new HttpsAgent({ keepAlive: true, ...defined({ ca, cert, key, rejectUnauthorized, servername }) })
        : new HttpAgent({ keepAlive: true });
    const headers: Record<string, string> = {
      ...(options.headers as Record<string, string>),
      accept: "application/json, */*;q=0.1",
    };
    if (request.body !== undefined) headers["content-type"] = request.contentType ?? "application/json";
    return {
      method: request.method,
      agent: this.#agent,
      headers,
      ...defined({ auth: options.auth ?? undefined }),
    };
  }
}

/** HTTP status of a refused request; undefined for other failures. */
export function kubeStatus(error: unknown): number | undefined {
  const status = error instanceof AmbitError ? error.fields["status"] : undefined;
  return typeof status === "number" ? status : undefined;
}

async function readText(response: IncomingMessage, path: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) {
      response.destroy();
      throw new AmbitError("KUBE_BAD_ANSWER", `the answer to ${path} is too large`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function statusError(request: KubeRequest, status: number, text: string): AmbitError {
  let body: Readonly<Record<string, unknown>> = {};
  try {
    body = jsonObject(JSON.parse(text));
  } catch {
    body = {};
  }
  const message = jsonText(body["message"]) || text.slice(0, 200);
  return new AmbitError("KUBE_STATUS", `${request.method} ${request.path}: ${status} ${message}`, {
    fields: { status, reason: jsonText(body["reason"]), path: request.path },
    retryable: status === 429 || status >= 500,
  });
}

function unreachable(request: KubeRequest, host: string, cause: Error): AmbitError {
  const why = cause.message === "" ? cause.name : cause.message;
  return new AmbitError("KUBE_UNREACHABLE", `${request.method} ${request.path} at ${host}: ${why}`, {
    cause,
    fields: { path: request.path },
    retryable: true,
  });
}

function defined<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, v]) => v !== undefined && v !== null)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}
