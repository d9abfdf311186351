/**
 * A scripted Kubernetes API over real HTTP for tests: lists in pages, watches, creates, replaces with compare-and-swap,
 * merges patches; everything else is up to the test (`intercept`). Not an API server: no validation, no access control.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { jsonObject, jsonText } from "../k8s/json-read.ts";

export type RawObject = Record<string, unknown>;

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: RawObject | undefined;
  readonly authorization: string;
}

/** What to answer instead of the default. */
export interface FakeAnswer {
  readonly status: number;
  readonly body: unknown;
}

interface Watcher {
  readonly collection: string;
  readonly response: ServerResponse;
}

const COLLECTION =
  /^(\/api\/v1|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([a-z]+)(?:\/([^/]+))?(?:\/(status))?$/;

export class FakeKubeApi {
  readonly requests: FakeRequest[] = [];
  /** Looked at first; undefined means the default behaviour. */
  intercept: (request: FakeRequest) => FakeAnswer | undefined = () => undefined;
  readonly #objects = new Map<string, Map<string, RawObject>>();
  readonly #watchers = new Set<Watcher>();
  readonly #events: { readonly collection: string; readonly version: number; readonly line: string }[] = [];
  readonly #server: Server;
  #version = 100;
  /** Watches from a version below this are answered 410. */
  #oldest = 0;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        send(response, 500, { kind: "Status", message: String(error) });
      });
    });
  }

  static async start(): Promise<FakeKubeApi> {
    const api = new FakeKubeApi();
    await new Promise<void>((resolve) => api.#server.listen(0, "127.0.0.1", resolve));
    return api;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get watchCount(): number {
    return this.#watchers.size;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Creates or replaces. `root` is `/api/v1/pods` and the like. */
  put(root: string, object: RawObject): RawObject {
    const metadata = jsonObject(object["metadata"]);
    const key = objectName(metadata);
    const known = this.#all(root).get(key);
    const old = jsonObject(known?.["metadata"]);
    const stored = {
      ...object,
      metadata: {
        uid: `uid-${key.replace("/", "-")}`,
        creationTimestamp: old["creationTimestamp"] ?? "2026-01-01T00:00:00Z",
        ...metadata,
        resourceVersion: String(++this.#version),
      },
    };
    this.#all(root).set(key, stored);
    this.#emit(root, known === undefined ? "ADDED" : "MODIFIED", stored);
    return stored;
  }

  remove(root: string, key: string): void {
    const old = this.#all(root).get(key);
    if (old === undefined) return;
    this.#all(root).delete(key);
    const metadata = { ...jsonObject(old["metadata"]), resourceVersion: String(++this.#version) };
    this.#emit(root, "DELETED", { ...old, metadata });
  }

  /** Removes without telling watchers, as if a watch had missed it. */
  removeSilently(root: string, key: string): void {
    this.#all(root).delete(key);
    this.#version++;
  }

  get(root: string, key: string): RawObject | undefined {
    return this.#all(root).get(key);
  }

  /** Writes one raw line to every watch of the collection. */
  sendLine(root: string, line: string): void {
    for (const w of this.#watchers) if (w.collection === root) w.response.write(`${line}\n`);
  }

  /** Ends every watch; from now on versions up to the present one are too old to resume from. */
  expire(): void {
    this.#oldest = ++this.#version;
    this.breakWatches();
  }

  breakWatches(): void {
    for (const w of this.#watchers) w.response.destroy();
    this.#watchers.clear();
  }

  #all(root: string): Map<string, RawObject> {
    const found = this.#objects.get(root);
    if (found !== undefined) return found;
    const made = new Map<string, RawObject>();
    this.#objects.set(root, made);
    return made;
  }

  #emit(collection: string, type: string, object: RawObject): void {
    const line = `${JSON.stringify({ type, object })}\n`;
    this.#events.push({ collection, version: this.#version, line });
    for (const w of this.#watchers) if (w.collection === collection) w.response.write(line);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://fake");
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const seen: FakeRequest = {
      method: request.method ?? "",
      path: url.pathname,
      query: url.searchParams,
      body: text === "" ? undefined : (JSON.parse(text) as RawObject),
      authorization: request.headers.authorization ?? "",
    };
    this.requests.push(seen);
    const special = this.intercept(seen);
    if (special !== undefined) send(response, special.status, special.body);
    else this.#default(seen, response);
  }

  #default(request: FakeRequest, response: ServerResponse): void {
    const { collection, namespace, plural, name, key } = parsePath(request.path);
    const isRead = request.method === "GET";
    if (plural === "") send(response, 404, { kind: "Status", message: "no such path" });
    else if (request.query.get("watch") === "true") this.#watch(collection, request, response);
    else if (isRead && name === undefined) this.#list(collection, namespace, request, response);
    else if (isRead) this.#read(collection, key, response);
    else this.#write(collection, key, request, response);
  }

  #read(collection: string, key: string, response: ServerResponse): void {
    const found = this.get(collection, key);
    send(response, found === undefined ? 404 : 200, found ?? { kind: "Status", message: "not found" });
  }

  #list(collection: string, namespace: string, request: FakeRequest, response: ServerResponse): void {
    const items = [...this.#all(collection)]
      .filter(([key]) => namespace === "" || key.startsWith(`${namespace}/`))
      .map(([, object]) => object);
    const from = Number(request.query.get("continue") ?? 0);
    const to = from + Number(request.query.get("limit") ?? items.length);
    const more = to < items.length ? { continue: String(to) } : {};
    const metadata = { resourceVersion: String(this.#version), ...more };
    send(response, 200, { kind: "List", metadata, items: items.slice(from, to) });
  }

  #watch(collection: string, request: FakeRequest, response: ServerResponse): void {
    const from = Number(request.query.get("resourceVersion") ?? 0);
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    if (from < this.#oldest) {
      response.end(`${JSON.stringify({ type: "ERROR", object: { kind: "Status", code: 410 } })}\n`);
      return;
    }
    for (const e of this.#events) if (e.collection === collection && e.version > from) response.write(e.line);
    const watcher = { collection, response };
    this.#watchers.add(watcher);
    response.on("close", () => this.#watchers.delete(watcher));
  }

  #write(collection: string, key: string, request: FakeRequest, response: ServerResponse): void {
    const body = request.body ?? {};
    const bodyKey = request.method === "POST" ? objectName(jsonObject(body["metadata"]), key) : key;
    const known = this.get(collection, bodyKey);
    const isStatus = request.path.endsWith("/status");
    // A status alone makes no object.
    const refused = isStatus && known === undefined ? 404 : refusal(request.method, body, known);
    if (refused !== 200) {
      send(response, refused, { kind: "Status", message: `refused with ${refused}` });
    } else if (request.method === "DELETE") {
      this.remove(collection, bodyKey);
      send(response, 200, { kind: "Status" });
    } else {
      const content = request.method === "PATCH" ? merge(known ?? {}, body) : body;
      send(response, 200, this.put(collection, withIdentity(content, bodyKey)));
    }
  }
}

interface RequestPath {
  readonly collection: string;
  readonly namespace: string;
  readonly plural: string;
  readonly name: string | undefined;
  readonly key: string;
}

function parsePath(path: string): RequestPath {
  const [, root = "", namespace = "", plural = "", name] = COLLECTION.exec(path) ?? [];
  // `/api/v1/namespaces/x` is the namespace x itself.
  const isNamespace = plural === "" && /^\/api\/v1\/namespaces\/[^/]+$/.test(path);
  if (isNamespace)
    return {
      collection: "/api/v1/namespaces",
      namespace: "",
      plural: "namespaces",
      name: path.slice(19),
      key: path.slice(19),
    };
  const key = namespace === "" ? (name ?? "") : `${namespace}/${name ?? ""}`;
  return { collection: `${root}/${plural}`, namespace, plural, name, key };
}

function refusal(method: string, body: RawObject, known: RawObject | undefined): number {
  const given = jsonText(jsonObject(body["metadata"])["resourceVersion"]);
  const current = jsonText(jsonObject(known?.["metadata"])["resourceVersion"]);
  if (method === "PUT" && known === undefined) return 404;
  return (method === "POST" && known !== undefined) || (given !== "" && given !== current) ? 409 : 200;
}

function objectName(metadata: RawObject | Readonly<Record<string, unknown>>, collectionKey = ""): string {
  const namespace = jsonText(metadata["namespace"]) || collectionKey.replace(/\/$/, "");
  const name = jsonText(metadata["name"]);
  return namespace === "" ? name : `${namespace}/${name}`;
}

function withIdentity(object: RawObject, key: string): RawObject {
  const slash = key.indexOf("/");
  const namespace = slash < 0 ? {} : { namespace: key.slice(0, slash) };
  return {
    ...object,
    metadata: { ...jsonObject(object["metadata"]), ...namespace, name: key.slice(slash + 1) },
  };
}

function merge(base: RawObject, patch: RawObject): RawObject {
  const result = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (typeof value === "object" && !Array.isArray(value))
      result[key] = merge(jsonObject(result[key]) as RawObject, value as RawObject);
    else result[key] = value;
  }
  return result;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}
