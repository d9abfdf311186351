/** For tests: a whole API server in a temporary directory, and a plain HTTPS client for it. */
import { mkdtempSync, rmSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { silentLogger } from "#core/runtime/log.ts";
import type { ApiServerOptions } from "../apiserver-options.ts";
import { dig, type JsonMap } from "../object.ts";
import { type RunningApiServer, startApiServer } from "../start-apiserver.ts";

export interface TestAnswer {
  readonly code: number;
  readonly body: JsonMap;
  readonly text: string;
  readonly warnings: readonly string[];
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent instead of the admin certificate. */
  readonly token?: string;
}

export interface TestApi {
  readonly server: RunningApiServer;
  readonly dataDir: string;
  request(method: string, path: string, options?: RequestOptions): Promise<TestAnswer>;
  /** Lines of a watch until `enough` says so, the server ends it, or 5 s pass. */
  watch(path: string, enough: (events: readonly JsonMap[]) => boolean): Promise<readonly JsonMap[]>;
  close(): Promise<void>;
}

export interface Credentials {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export function credentialsOf(kubeconfig: string): Credentials {
  const config = parse(kubeconfig) as {
    clusters: [{ cluster: Record<string, string> }];
    users: [{ user: Record<string, string> }];
  };
  const decoded = (text: string | undefined): string => Buffer.from(text ?? "", "base64").toString();
  const { cluster } = config.clusters[0];
  const { user } = config.users[0];
  const { hostname, port } = new URL(cluster["server"] ?? "");
  return {
    host: hostname,
    port: Number(port),
    ca: decoded(cluster["certificate-authority-data"]),
    cert: decoded(user["client-certificate-data"]),
    key: decoded(user["client-key-data"]),
  };
}

const WATCH_LIMIT_MS = 5000;

export function clientOf(kubeconfig: string): Pick<TestApi, "request" | "watch"> & { close(): void } {
  const { host, port, ca, cert, key } = credentialsOf(kubeconfig);
  const admin = new https.Agent({ ca, cert, key, keepAlive: true });
  const bearer = new https.Agent({ ca, keepAlive: false });
  const target = (method: string, path: string, options: RequestOptions = {}): https.RequestOptions => {
    const agent = options.token === undefined ? admin : bearer;
    return { host, port, method, path, agent, headers: headersOf(options) };
  };
  return {
    request: (method, path, options = {}) => send(target(method, path, options), bodyOf(options.body)),
    watch: (path, enough) => readEvents(target("GET", path), enough),
    close: () => {
      admin.destroy();
      bearer.destroy();
    },
  };
}

function headersOf(options: RequestOptions): Record<string, string> {
  const headers: Record<string, string> = { "user-agent": "difftest", accept: "application/json" };
  const body = bodyOf(options.body);
  if (body !== undefined) {
    headers["content-type"] = options.contentType ?? "application/json";
    headers["content-length"] = String(body.length); // Node's client sends the body of a DELETE without any length
  }
  if (options.token !== undefined) headers["authorization"] = `Bearer ${options.token}`;
  return Object.assign(headers, options.headers);
}

function send(target: https.RequestOptions, body: Buffer | undefined): Promise<TestAnswer> {
  return new Promise((resolve, reject) => {
    const request = https.request(target, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        const isJson = String(response.headers["content-type"]).includes("json");
        const warnings = [response.headers["warning"] ?? []].flat();
        resolve({
          code: response.statusCode ?? 0,
          body: isJson ? (JSON.parse(text) as JsonMap) : {},
          text,
          warnings,
        });
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}

function readEvents(
  target: https.RequestOptions,
  enough: (events: readonly JsonMap[]) => boolean,
): Promise<readonly JsonMap[]> {
  return new Promise((resolve, reject) => {
    const events: JsonMap[] = [];
    let rest = "";
    const request = https.get(target, (response) => {
      const finish = (): void => {
        clearTimeout(limit);
        request.destroy();
        resolve(events);
      };
      const limit = setTimeout(finish, WATCH_LIMIT_MS);
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        events.push(...lines.map((line) => JSON.parse(line) as JsonMap));
        if (enough(events)) finish();
      });
      response.on("end", finish);
    });
    request.on("error", (error) => (events.length > 0 ? resolve(events) : reject(error)));
  });
}

function bodyOf(body: unknown): Buffer | undefined {
  if (body === undefined || Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
}

export async function startTestApi(options: Partial<ApiServerOptions> = {}): Promise<TestApi> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), "ambit-apiserver-"));
  const server = await startApiServer({
    dataDir,
    listen: [{ host: "127.0.0.1", port: 0 }],
    advertise: [],
    serviceCidr: "10.96.0.0/16",
    log: silentLogger,
    ...options,
  });
  const client = clientOf(server.adminKubeconfig);
  return {
    ...client,
    server,
    dataDir,
    close: async () => {
      client.close();
      await server.close();
      if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** Repeats until the answer has the wanted code or 5 s pass; resolves to the last answer either way. */
export async function eventually(
  ask: () => Promise<TestAnswer>,
  holds: (answer: TestAnswer) => boolean,
): Promise<TestAnswer> {
  const end = Date.now() + 5000;
  for (;;) {
    const answer = await ask();
    if (holds(answer) || Date.now() > end) return answer;
    await new Promise((resolve) => void setTimeout(resolve, 25));
  }
}

export function nameOf(object: unknown): string {
  return String(dig(object, "metadata", "name"));
}
