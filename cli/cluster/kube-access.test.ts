/**
 * client-node's real port-forward against an API server that speaks the WebSocket form: channels 0 (data) and 1
 * (errors), each beginning with the port in two octets, little-endian.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { WebSocketServer, type WebSocket } from "ws";
import { AmbitError } from "#core/runtime/errors.ts";
import type { PodReply, PodRequest } from "./port-forward.ts";
import type { ClusterAccess } from "./cluster-access.ts";
import { openCluster } from "./kube-access.ts";

const PODS = {
  items: [
    {
      metadata: {
        name: "ztunnel-a",
        namespace: "sys",
        ownerReferences: [{ kind: "DaemonSet", name: "ztunnel", uid: "1", controller: true }],
      },
      spec: { nodeName: "n1", containers: [] },
      status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
    },
    {
      metadata: { name: "gone", namespace: "sys", deletionTimestamp: "2026-01-01T00:00:00Z" },
      spec: {},
      status: { phase: "Running" },
    },
  ],
};

interface Served {
  readonly access: ClusterAccess;
  /** Paths of upgrades. */
  readonly forwards: readonly string[];
  request(port: number, request?: PodRequest, timeoutMs?: number): Promise<PodReply>;
}

async function listen(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** An API server whose pod ports are the ports of this machine's loopback; `reply` may take over a socket. */
async function serve(t: TestContext, takeOver?: (socket: WebSocket) => void): Promise<Served> {
  const forwards: string[] = [];
  const api = http.createServer((request, response) => {
    const found =
      request.url === "/api/v1/namespaces/sys/pods"
        ? PODS
        : request.url?.endsWith("/pods/ztunnel-a") === true
          ? PODS.items[0]
          : undefined;
    response.writeHead(found === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(found ?? { kind: "Status", reason: "NotFound", message: "not found" }));
  });
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => "v4.channel.k8s.io" });
  api.on("upgrade", (request, socket, head) => {
    forwards.push(request.url ?? "");
    if (request.url?.includes("/pods/forbidden/") === true)
      return void socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    sockets.handleUpgrade(request, socket, head, (ws) =>
      (takeOver ?? bridge)(ws, Number(/ports=(\d+)/.exec(request.url ?? "")?.[1])),
    );
  });
  const apiPort = await listen(api);
  const directory = mkdtempSync(join(tmpdir(), "ambit-cli-"));
  const kubeconfig = join(directory, "config");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "c",
    clusters: [
      { name: "c", cluster: { server: `http://127.0.0.1:${apiPort}`, "insecure-skip-tls-verify": true } },
    ],
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
    users: [{ name: "u", user: { token: "t" } }],
  };
  writeFileSync(kubeconfig, JSON.stringify(config));
  t.after(() => {
    for (const ws of sockets.clients) ws.terminate();
    api.closeAllConnections();
    api.close();
    rmSync(directory, { recursive: true });
  });
  const options = { kubeconfig, context: undefined, namespace: "default", systemNamespace: "sys" };
  const access = await openCluster(options, new AbortController().signal);
  return {
    access,
    forwards,
    request: (port, request = { method: "GET", path: "/x" }, timeoutMs = 5_000) =>
      access.transport.request(
        { namespace: "sys", name: "ztunnel-a", port },
        request,
        AbortSignal.timeout(timeoutMs),
      ),
  };
}

function frame(channel: number, data: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(channel), data]);
}

function bridge(ws: WebSocket, port?: number): void {
  const portOctets = Buffer.alloc(2);
  portOctets.writeUInt16LE(port ?? 0);
  ws.send(frame(0, portOctets));
  ws.send(frame(1, portOctets));
  const socket = net.connect(port ?? 0, "127.0.0.1");
  socket.on("data", (data: Buffer) => ws.send(frame(0, data)));
  socket.on("error", (error) =>
    ws.send(frame(1, Buffer.from(`forwarding failed: ${error.message}`)), () => ws.close()),
  );
  socket.on("close", () => ws.close());
  ws.on("message", (data: Buffer) => void (data[0] === 0 && socket.write(data.subarray(1))));
  ws.on("close", () => socket.destroy());
}

async function admin(t: TestContext, handler: http.RequestListener): Promise<number> {
  const server = http.createServer(handler);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return listen(server);
}

const isUnreachable = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AmbitError);
  assert.equal(error.code, "CLI_POD_UNREACHABLE");
  assert.match(error.message, message);
  return true;
};

test("a request reaches the port, and the whole answer comes back", async (t) => {
  const big = "x".repeat(3_000_000);
  const seen: string[] = [];
  const port = await admin(t, (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.host} ${request.headers.origin}`);
    response.writeHead(request.method === "POST" ? 405 : 200).end(big);
  });
  const { request, forwards } = await serve(t);
  assert.deepEqual(await request(port), { status: 200, body: big });
  assert.equal((await request(port, { method: "POST", path: "/logging?level=debug" })).status, 405);
  assert.deepEqual(seen, ["GET /x localhost undefined", "POST /logging?level=debug localhost undefined"]);
  assert.equal(forwards[0], `/api/v1/namespaces/sys/pods/ztunnel-a/portforward?ports=${port}`);
});

test("several requests at once do not disturb each other", async (t) => {
  const port = await admin(t, (request, response) => response.end(`${request.url}`.repeat(10_000)));
  const { request } = await serve(t);
  const paths = ["/a", "/b", "/c", "/d", "/e"];
  const replies = await Promise.all(paths.map((path) => request(port, { method: "GET", path })));
  assert.deepEqual(
    replies.map((r) => r.body),
    paths.map((path) => path.repeat(10_000)),
  );
});

test("a port that nobody listens on says what the other end said", async (t) => {
  const closed = net.createServer();
  const port = await listen(closed);
  await new Promise((resolve) => closed.close(resolve));
  const { request } = await serve(t);
  await assert.rejects(
    request(port),
    isUnreachable(/cannot reach port \d+ of ztunnel-a\.sys: forwarding failed: .*ECONNREFUSED/),
  );
});

test("a forward that is refused says so", async (t) => {
  const { access } = await serve(t);
  const pod = { namespace: "sys", name: "forbidden", port: 1 };
  await assert.rejects(
    access.transport.request(pod, { method: "GET", path: "/" }, AbortSignal.timeout(5_000)),
    isUnreachable(/403/),
  );
});

test("an answer that is cut off is a failure", async (t) => {
  const port = await admin(t, (_request, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("part");
    setImmediate(() => response.destroy());
  });
  const { request } = await serve(t);
  await assert.rejects(request(port), isUnreachable(/aborted|ended|closed|reset/i));
});

test("a pod that never answers is given up in time", async (t) => {
  const { request } = await serve(t, () => undefined);
  await assert.rejects(request(1, { method: "GET", path: "/" }, 200), isUnreachable(/no answer in time/));
});

test("what is no HTTP is a failure with a sentence", async (t) => {
  const { request } = await serve(t, (ws) => {
    ws.send(Buffer.of(0, 1, 0));
    ws.on("message", () => ws.send(frame(0, Buffer.from("hello\r\n\r\n"))));
  });
  await assert.rejects(request(1), isUnreachable(/Parse Error/));
});

test("pods are listed and found, a missing one is undefined", async (t) => {
  const { access } = await serve(t);
  const running = {
    namespace: "sys",
    name: "ztunnel-a",
    node: "n1",
    ready: true,
    running: true,
    owner: "DaemonSet/ztunnel",
  };
  assert.deepEqual(await access.listPods("sys"), [
    running,
    { namespace: "sys", name: "gone", node: "", ready: false, running: false, owner: "" },
  ]);
  assert.deepEqual(await access.getPod("sys", "ztunnel-a"), running);
  assert.equal(await access.getPod("sys", "nobody"), undefined);
});

test("an API server that is away, a bad kubeconfig and an unknown context each say so", async (t) => {
  const closed = net.createServer();
  const port = await listen(closed);
  await new Promise((resolve) => closed.close(resolve));
  const directory = mkdtempSync(join(tmpdir(), "ambit-cli-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const kubeconfig = join(directory, "config");
  const base = { context: undefined, namespace: "default", systemNamespace: "sys", kubeconfig };
  const { signal } = new AbortController();
  await assert.rejects(openCluster(base, signal), /cannot read the kubeconfig/);
  writeFileSync(kubeconfig, "apiVersion: v1\nkind: Config\n");
  await assert.rejects(openCluster(base, signal), /no current cluster/);
  writeFileSync(
    kubeconfig,
    `{current-context: c, clusters: [{name: c, cluster: {server: 'http://127.0.0.1:${port}', insecure-skip-tls-verify: true}}], contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}`,
  );
  await assert.rejects(openCluster({ ...base, context: "d" }, signal), /no context "d"; it has c/);
  const access = await openCluster(base, signal);
  await assert.rejects(access.listPods("sys"), (error: AmbitError) => error.code === "KUBE_UNREACHABLE");
});
