/**
 * Two pods in network namespaces of their own, joined by a veth pair, without capture: the applications dial ztunnel's
 * ports themselves. Real marks, transparent sources and namespaces.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { after, test } from "node:test";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import type { Handle } from "#core/handle/handle.ts";
import { createNamedNetns, deleteNamedNetns, inNetns, type Netns, openNetns } from "#core/linux/netns.ts";
import { tcpListenerFd, tcpSocketFd } from "#core/linux/tcp-socket.ts";
import { serviceKey } from "#core/model/ids.ts";
import { type IpAddress, ip } from "#core/net/ip.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { netnsPodSockets } from "../../inpod/netns-socket-factory.ts";
import { eventually } from "../apps.ts";
import { TestMesh, type TestNode } from "../test-mesh.ts";

const isRoot = process.getuid?.() === 0;
if (!isRoot && process.env["AMBIT_REQUIRE_ROOT"] === "1")
  throw new Error("AMBIT_REQUIRE_ROOT=1, but not root");
const skip = isRoot ? false : "needs root: network namespaces, marks and transparent sockets";

const NAMES = [`ambit-zt-${process.pid}-a`, `ambit-zt-${process.pid}-b`] as const;
const [A, B] = [ip("10.231.0.1"), ip("10.231.0.2")];
const VIP = ip("10.231.9.9");
const APP_PORT = 8080;
after(() => NAMES.forEach((name) => isRoot && deleteNamedNetns(name)));
if (isRoot) removeLeftovers();

/** Namespaces of runs of this test that were killed. */
function removeLeftovers(): void {
  if (!existsSync("/run/netns")) return;
  for (const name of readdirSync("/run/netns")) {
    const pid = /^ambit-zt-(\d+)-[ab]$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) deleteNamedNetns(name);
  }
}

function command(netns: string, ...args: readonly string[]): void {
  execFileSync("ip", ["-n", netns, ...args], { stdio: "pipe", timeout: 10_000 });
}

/** A and B with one link; VIP is local in A, so that a dial to VIP:15001 is what capture would make of it. */
function makeNetwork(): readonly [Netns, Netns] {
  const [a, b] = NAMES;
  for (const name of NAMES) createNamedNetns(name);
  command(a, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b);
  for (const [name, address] of [
    [a, A],
    [b, B],
  ] as const) {
    command(name, "link", "set", "lo", "up");
    command(name, "addr", "add", `${address}/24`, "dev", "eth0");
    command(name, "link", "set", "eth0", "up");
  }
  command(a, "addr", "add", `${VIP}/32`, "dev", "lo");
  // What capture's programs do: answers of the application to a spoofed client stay in the pod.
  command(
    b,
    "rule",
    "add",
    "pref",
    "80",
    "from",
    B,
    "ipproto",
    "tcp",
    "sport",
    String(APP_PORT),
    "lookup",
    "100",
  );
  command(b, "route", "add", "local", "default", "dev", "lo", "table", "100");
  return [openNetns(`/run/netns/${a}`), openNetns(`/run/netns/${b}`)];
}

interface AppClient {
  readonly handle: Handle;
  received: string;
  ended: boolean;
  closed: Error | true | undefined;
}

const backend = chooseBackend();

async function dial(netns: Netns, address: IpAddress, port: number): Promise<AppClient> {
  const fd = tcpSocketFd({ netns, family: 4 });
  const handle = await backend.connectFd(fd, { ip: address, port }, 5_000);
  const app: AppClient = { handle, received: "", ended: false, closed: undefined };
  handle.start({
    onData: (bytes) => void (app.received += Buffer.from(bytes).toString("latin1")),
    onEnd: () => void (app.ended = true),
    onDrain: () => undefined,
    onClose: (error) => void (app.closed = error ?? true),
  });
  return app;
}

interface EchoApp {
  readonly clients: string[];
  readonly close: () => void;
}

function echo(netns: Netns): EchoApp {
  const clients: string[] = [];
  const listener = backend.listenFd(tcpListenerFd({ netns, port: APP_PORT, backlog: 16 }), 16, (handle) => {
    clients.push(handle.remote.ip);
    handle.start({
      onData: (bytes) => void handle.write(Uint8Array.from(bytes)),
      onEnd: () => handle.shutdown(),
      onDrain: () => undefined,
      onClose: () => undefined,
    });
  });
  return { clients, close: () => listener.close() };
}

interface Setting {
  readonly mesh: TestMesh;
  readonly here: TestNode;
  readonly there: TestNode;
  readonly netnsA: Netns;
  readonly app: EchoApp;
}

async function withPods(work: (setting: Setting) => Promise<void>): Promise<void> {
  const [netnsA, netnsB] = makeNetwork();
  const mesh = new TestMesh(backend);
  const [here, there] = [mesh.node(), mesh.node()];
  const service = aService({
    vips: [{ network: "", ip: VIP }],
    ports: [{ servicePort: 15_001, targetPort: APP_PORT, appProtocol: "unknown" }],
  });
  const frontend = aWorkload({
    name: "frontend",
    addresses: [A],
    serviceAccount: "frontend",
    node: here.name,
  });
  const catalog = aWorkload({
    name: "catalog",
    addresses: [B],
    serviceAccount: "catalog",
    node: there.name,
    services: new Map([[serviceKey("default", service.hostname), new Map()]]),
  });
  mesh.commit(service, frontend, catalog);
  const app = echo(netnsB);
  await here.start(frontend, netnsPodSockets(backend, netnsA));
  await there.start(catalog, netnsPodSockets(backend, netnsB));
  try {
    await work({ mesh, here, there, netnsA, app });
    assert.deepEqual([...here.problems(), ...there.problems()], []);
  } finally {
    app.close();
    await mesh.close();
    NAMES.forEach(deleteNamedNetns);
  }
}

test("this process's own namespace is refused as a pod", { skip }, () => {
  assert.throws(() => netnsPodSockets(backend, openNetns("/proc/self/ns/net")), /own/);
});

test("addresses are those of the pod's devices", { skip }, () => {
  const [netnsA] = makeNetwork();
  try {
    const sockets = netnsPodSockets(backend, netnsA);
    assert.equal(sockets.hasAddress(A), true);
    assert.equal(sockets.hasAddress(B), false);
    assert.equal(
      inNetns(netnsA, () => true),
      true,
    );
    sockets.close();
  } finally {
    NAMES.forEach(deleteNamedNetns);
  }
});

test("from pod to pod through the tunnel, with the client's address", { skip, timeout: 30_000 }, () =>
  withPods(async ({ here, there, netnsA, app }) => {
    const client = await dial(netnsA, VIP, 15_001);
    client.handle.write(Buffer.from("hello"));
    await eventually("an echo", () => client.received === "hello");
    client.handle.shutdown();
    await eventually("a clean end", () => client.closed === true);
    // The application in A was bound to VIP, an address of A's own, so that is what B sees of the tunnel's source: A.
    assert.deepEqual(app.clients, [A]);
    const line = await eventually("an inbound line", () => there.access()[0]);
    assert.equal(line["src.identity"], "spiffe://cluster.local/ns/default/sa/frontend");
    assert.equal(line["error"], undefined);
    await eventually("an outbound line", () => here.access()[0]);
  }),
);

test("a dial to ztunnel's own plaintext port leads nowhere", { skip, timeout: 30_000 }, () =>
  withPods(async ({ there, netnsA, app }) => {
    const closed = await dial(netnsA, B, 15_006).then(
      (client) => eventually("a reset", () => client.closed),
      (error: unknown) => error,
    );
    assert.ok(closed instanceof Error, "the end was not clean");
    assert.deepEqual(app.clients, []);
    const line = await eventually("a line", () => there.access()[0]);
    assert.equal(line["reason"], "own-port");
  }),
);
