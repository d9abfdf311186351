/**
 * HTTP requests to ports inside pods through the Kubernetes API's port-forward (WebSocket form, by client-node).
 * The request runs over a byte stream, so that Node's own HTTP client reads the answer.
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { duplexPair, PassThrough, type Duplex } from "node:stream";
import { PortForward, type KubeConfig } from "@kubernetes/client-node";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import type { PodAddress, PodReply, PodRequest, PodTransport } from "./port-forward.ts";

const MAX_REPLY_BYTES = 256 * 1_048_576;
const CLOSE_TIMEOUT_MS = 500;

export function kubePortForward(config: KubeConfig): PodTransport {
  const forward = new PortForward(config);
  return {
    request: async (pod, request, signal) => {
      const stream = await openStream(forward, pod, signal);
      try {
        return await exchange(stream, pod, request, signal);
      } finally {
        stream.close();
      }
    },
  };
}

interface ForwardedStream {
  readonly duplex: Duplex;
  /** What the other end said went wrong, such as a refused connection; empty if nothing. */
  problem(): string;
  close(): void;
}

async function openStream(
  forward: PortForward,
  pod: PodAddress,
  signal: AbortSignal,
): Promise<ForwardedStream> {
  const [duplex, wire] = duplexPair();
  const errors = new PassThrough();
  let problem = "";
  errors.on("data", (chunk: Buffer) => (problem = (problem + chunk.toString("utf8")).slice(0, 500)));
  const opening = forward.portForward(pod.namespace, pod.name, [pod.port], wire, errors, wire);
  const opened = await beforeAbort(opening, signal).catch((cause: unknown) => {
    throw unreachable(pod, webSocketProblem(cause));
  });
  if (typeof opened === "function") throw unreachable(pod, "unexpected kind of connection");
  opened.onclose = () => wire.end();
  opened.onerror = (event) => duplex.destroy(new Error(event.message));
  return {
    duplex,
    problem: () => problem.trim(),
    close: () => {
      // The stream may report its own end as an error; nobody waits for it any more.
      duplex.on("error", () => undefined).destroy();
      opened.close();
      // A server that never answers the close must not keep the process waiting.
      setTimeout(() => opened.terminate(), CLOSE_TIMEOUT_MS).unref();
    },
  };
}

async function exchange(
  stream: ForwardedStream,
  pod: PodAddress,
  request: PodRequest,
  signal: AbortSignal,
): Promise<PodReply> {
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest(
        {
          createConnection: () => stream.duplex,
          method: request.method,
          path: request.path,
          headers: { host: "localhost", connection: "close" },
          signal,
        },
        resolve,
      )
        .on("error", reject)
        .end();
    });
    return { status: response.statusCode ?? 0, body: await readBody(response) };
  } catch (cause) {
    if (cause instanceof AmbitError) throw cause;
    throw unreachable(pod, stream.problem() || timeoutText(cause) || describeError(cause));
  }
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_REPLY_BYTES) throw new AmbitError("CLI_BAD_REPLY", "the answer is larger than 256 MiB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The promise, unless the signal comes first; a late result is closed. */
function beforeAbort<T extends { close?(): void } | (() => unknown)>(
  promise: Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  promise.then(
    (late) => signal.aborted && "close" in late && late.close?.(),
    () => undefined,
  );
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", onAbort));
}

function unreachable(pod: PodAddress, why: string): AmbitError {
  return new AmbitError(
    "CLI_POD_UNREACHABLE",
    `cannot reach port ${pod.port} of ${pod.name}.${pod.namespace}: ${why}`,
  );
}

function timeoutText(cause: unknown): string {
  return cause instanceof Error && (cause.name === "TimeoutError" || cause.name === "AbortError")
    ? "no answer in time"
    : "";
}

/** WebSocket failures come as events, not as errors. */
function webSocketProblem(cause: unknown): string {
  if (cause instanceof Error) return timeoutText(cause) || describeError(cause);
  const message = (cause as { message?: unknown } | null)?.message;
  return typeof message === "string" && message !== "" ? message : "the API server refused the port-forward";
}
