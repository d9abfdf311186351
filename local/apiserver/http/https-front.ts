/** TLS front: one request in, authenticated, authorised, dispatched; many listeners, some of them sockets of other namespaces. */
import https from "node:https";
import net from "node:net";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { KubeletConnector, ListenAddress } from "../apiserver-options.ts";
import { authenticate, impersonated } from "../auth/authenticate.ts";
import type { KeyAndCertificate } from "../auth/certificate.ts";
import type { UserInfo } from "../auth/user.ts";
import type { Resource } from "../registry/resource.ts";
import { admitConnect } from "../rest/connect.ts";
import type { RestDeps, Target } from "../rest/context.ts";
import { answerWriter } from "./answer.ts";
import { isWebSocket, kubeletTarget, proxyUpgrade } from "./kubelet-proxy.ts";
import { PathHandler } from "./path-handler.ts";
import { requestInfo, type ResourceRequest } from "./request-info.ts";
import { handleResource } from "./resource-handler.ts";
import { badRequest, methodNotAllowed, StatusError, unknownPath } from "./status-error.ts";

export interface FrontOptions {
  readonly deps: RestDeps;
  readonly serving: KeyAndCertificate;
  readonly caPem: string;
  readonly kubelets: KubeletConnector | undefined;
  readonly address: () => string;
}

const STREAMED = new Set(["exec", "portforward"]);

export class HttpsFront {
  readonly #options: FrontOptions;
  readonly #server: https.Server;
  readonly #paths: PathHandler;
  readonly #listeners: net.Server[] = [];
  readonly #sockets = new Set<net.Socket>();

  constructor(options: FrontOptions) {
    this.#options = options;
    this.#paths = new PathHandler(options.deps, options.address);
    this.#server = https.createServer(
      {
        cert: options.serving.certificatePem,
        key: options.serving.keyPem,
        ca: [options.caPem],
        requestCert: true,
        rejectUnauthorized: false, // callers without a certificate bring a token
        minVersion: "TLSv1.2",
        ALPNProtocols: ["http/1.1"],
        handshakeTimeout: 10_000,
        keepAliveTimeout: 120_000,
        headersTimeout: 15_000,
        requestTimeout: 60_000,
        maxHeaderSize: 64 * 1024,
      },
      (request, response) => void this.#handle(request, response),
    );
    this.#server.on(
      "upgrade",
      (request: IncomingMessage, socket: Duplex, head: Buffer) => void this.#upgrade(request, socket, head),
    );
    this.#server.on("tlsClientError", (_error, socket) => socket.destroy());
    this.#server.on("clientError", (_error, socket) => socket.destroy());
  }

  /** Resolves to the port. */
  listen(address: ListenAddress): Promise<number> {
    return this.#open((server) => server.listen({ host: address.host, port: address.port }));
  }

  async listenFd(fd: number): Promise<void> {
    await this.#open((server) => server.listen({ fd }));
  }

  #open(start: (server: net.Server) => void): Promise<number> {
    const server = net.createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => socket.destroy());
      this.#server.emit("connection", socket);
    });
    this.#listeners.push(server);
    return new Promise((resolve, reject) => {
      server.on("error", reject);
      server.on("listening", () => {
        const address = server.address();
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
      start(server);
    });
  }

  async close(): Promise<void> {
    const closing = this.#listeners.map((server) => new Promise((resolve) => void server.close(resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closing);
    this.#server.closeAllConnections();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { deps, kubelets } = this.#options;
    const answer = answerWriter(response, (error) => {
      deps.log.error(
        {
          method: request.method,
          path: request.url?.split("?")[0],
          error: String(error instanceof Error ? error.stack : error),
        },
        "request failed unexpectedly",
      );
    });
    try {
      const url = parseUrl(request);
      const info = requestInfo(request.method ?? "GET", url.pathname, url.searchParams);
      if (info.kind === "malformed") throw unknownPath();
      const user = this.#user(request);
      if (info.kind === "path") {
        this.#authorizePath(user, info.path, info.verb);
        if (info.verb !== "get" && info.verb !== "head") throw methodNotAllowed();
        this.#paths.handle(info.path, request.headers.accept, answer);
        return;
      }
      const target = this.#target(user, info);
      await handleResource(
        deps,
        { target, verb: info.verb, query: url.searchParams, user, request, response, answer },
        kubelets,
      );
    } catch (error) {
      answer.fail(error);
    }
  }

  #user(request: IncomingMessage): UserInfo {
    const { deps } = this.#options;
    const caller = authenticate(request.headers, request.socket as TLSSocket, deps.tokens);
    return impersonated(caller, request.headers, deps.rbac);
  }

  #authorizePath(user: UserInfo, path: string, verb: string): void {
    if (this.#options.deps.rbac.allows(user, { path, verb: verb === "head" ? "get" : verb })) return;
    throw new StatusError(403, `forbidden: User "${user.username}" cannot ${verb} path "${path}"`, {
      details: {},
    });
  }

  /** Authorised before anything is looked up: a caller without rights learns nothing about what exists. */
  #target(user: UserInfo, info: ResourceRequest): Target {
    const { registry, rbac } = this.#options.deps;
    const { group, version, plural, name, subresource, verb } = info;
    const namespace = plural === "namespaces" && group === "" ? name : info.namespace;
    const access = { verb, group, resource: plural, subresource, namespace, name: info.authorizedName };
    if (!rbac.allows(user, access)) throw denied(user, info);
    const resource = registry.find(group, version, plural);
    if (resource === undefined || !fitsScope(resource, info)) throw unknownPath();
    if (subresource !== "" && !resource.subresources.includes(subresource)) throw unknownPath();
    if (!takesVerb(resource, info)) throw methodNotAllowed();
    return { resource, namespace: info.namespace, name, subresource };
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    try {
      const url = parseUrl(request);
      const info = requestInfo(request.method ?? "GET", url.pathname, url.searchParams);
      if (info.kind !== "resource" || !STREAMED.has(info.subresource))
        throw badRequest("this path does not take an upgrade");
      const user = this.#user(request);
      const target = this.#target(user, info);
      await admitConnect(this.#options.deps, target, user, url.searchParams);
      if (!isWebSocket(request))
        throw new StatusError(
          501,
          `SPDY is not provided: ${info.subresource} needs a client that speaks WebSocket (kubectl 1.31 or later)`,
        );
      const to = kubeletTarget(this.#options.deps, target, url.searchParams, this.#options.kubelets);
      await proxyUpgrade(to, request, socket, head);
    } catch (error) {
      const status = error instanceof StatusError ? error : new StatusError(500, "Internal error occurred");
      const body = JSON.stringify(status.toStatus());
      socket.end(
        `HTTP/1.1 ${status.code} ${status.reason}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      );
    }
  }
}

/** Only collections of namespaced kinds may be read across namespaces. */
function fitsScope(resource: Resource, { namespace, name }: ResourceRequest): boolean {
  return resource.namespaced ? namespace !== "" || name === "" : namespace === "";
}

function takesVerb(resource: Resource, { namespace, name, subresource, verb }: ResourceRequest): boolean {
  if (subresource !== "") return true; // each subresource decides itself
  const reads = verb === "list" || verb === "watch" || verb === "get";
  if (resource.namespaced && namespace === "" && !reads) return false;
  if (name === "" ? verb === "patch" || verb === "update" : verb === "create") return false;
  return resource.verbs.includes(verb);
}

function parseUrl(request: IncomingMessage): URL {
  const text = request.url ?? "/";
  if (!text.startsWith("/") || !URL.canParse(text, "https://host")) throw badRequest("the URL is malformed");
  return new URL(`https://host${text}`);
}

function denied(
  user: UserInfo,
  { group, plural, namespace, name, subresource, verb }: ResourceRequest,
): StatusError {
  const id = group === "" ? plural : `${plural}.${group}`;
  const what = subresource === "" ? plural : `${plural}/${subresource}`;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace "${namespace}"`;
  const message = `${id}${name === "" ? "" : ` "${name}"`} is forbidden: User "${user.username}" cannot ${verb} resource "${what}" in API group "${group}" ${where}`;
  return new StatusError(403, message, {
    details: { name: name || undefined, group: group || undefined, kind: plural },
  });
}
