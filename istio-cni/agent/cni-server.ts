/** The unix socket on which the CNI plugin asks. Root only: mode 0600 in a directory of mode 0700, and the peer checked. */
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { BODY_LIMIT_BYTES, HEAD_LIMIT_BYTES, TIMEOUT_MS } from "../plugin/protocol.ts";
import type { CniHandler, CniReply } from "./cni-handler.ts";
import type { RefusalCounts } from "./refusals.ts";

export interface CniServerOptions {
  readonly path: string;
  readonly handler: CniHandler;
  /** Why this process may not ask; undefined when it may. */
  readonly judgePeer: (socket: Socket) => string | undefined;
  readonly refusals: RefusalCounts;
  readonly log: Logger;
}

/** Resolves when listening; the result closes it and removes the socket. */
export async function serveCni(options: CniServerOptions): Promise<() => Promise<void>> {
  const server = createServer({ maxHeaderSize: HEAD_LIMIT_BYTES }, (request, response) => {
    void answer(options, request).then((reply) => {
      response.writeHead(reply.status, { "content-type": "application/json" });
      response.end(reply.body);
    });
  });
  server.requestTimeout = TIMEOUT_MS;
  server.on("connection", (socket: Socket) => refuseStranger(options, socket));
  const directory = dirname(options.path);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  rmSync(options.path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.path, resolve);
  });
  chmodSync(options.path, 0o600);
  return () => close(server, options.path);
}

function refuseStranger(options: CniServerOptions, socket: Socket): void {
  const refusal = options.judgePeer(socket);
  if (refusal === undefined) return;
  options.log.warn({ reason: refusal }, "cni caller refused");
  options.refusals.count("cni-caller");
  socket.destroy();
}

async function answer(options: CniServerOptions, request: IncomingMessage): Promise<CniReply> {
  try {
    if (request.method !== "POST" || request.url !== "/cni") return { status: 500, body: "not found\n" };
    return await options.handler.handle(request.headers, await readBody(request));
  } catch (error) {
    options.log.warn({ error: describeError(error) }, "cni request not read");
    options.refusals.count("cni-request");
    return { status: 500, body: "" };
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_LIMIT_BYTES) throw new Error("the configuration is larger than 1 MiB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function close(server: Server, path: string): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      rmSync(path, { force: true });
      resolve();
    });
    server.closeAllConnections();
  });
}
