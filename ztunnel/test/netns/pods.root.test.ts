/**
 * Two pods in network namespaces of their own, joined by a veth pair, without capture: the applications dial ztunnel's
 * ports themselves. Real marks, transparent sources and namespaces.
 */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import type { Listener } from "#core/handle/socket-factory.ts";
import { inNetns, type Netns, openNetns } from "#core/linux/netns.ts";
import { serviceKey } from "#core/model/ids.ts";
import { aService, aWorkload } from "#core/testing/builders.ts";
import { netnsPodSockets } from "../../inpod/netns-socket-factory.ts";
import { eventually } from "../apps.ts";
import { TestMesh, type TestNode } from "../test-mesh.ts";
import {
  A,
  APP_PORT,
  B,
  backend,
  dial,
  echo,
  type EchoApp,
  makeNetwork,
  removeNetwork,
  skip,
  VIP,
} from "./pod-network.ts";

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
    removeNetwork();
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
    sockets.close();
  } finally {
    removeNetwork();
  }
});

test(
  "a program of the pod on a port of ztunnel's: the refusal names the port and what to do",
  { skip },
  async () => {
    const [netnsA] = makeNetwork();
    const squatter = inNetns(netnsA, () => createServer().listen(15_008));
    try {
      const sockets = netnsPodSockets(backend, netnsA);
      const listen = (port: number): Promise<Listener> =>
        Promise.resolve().then(() => sockets.listen({ port, backlog: 1 }, (handle) => handle.reset()));
      (await listen(15_006)).close();
      await assert.rejects(listen(15_008), {
        code: "POD_PORT_TAKEN",
        message:
          /^port 15008 of the pod is taken by a program of the pod.*another port.*dataplane-mode=none$/,
      });
      sockets.close();
    } finally {
      squatter.close();
      removeNetwork();
    }
  },
);

test("from pod to pod through the tunnel, with the client's address", { skip, timeout: 30_000 }, () =>
  withPods(async ({ here, there, netnsA, app }) => {
    const client = await dial(netnsA, VIP, 15_001);
    client.handle.write(Buffer.from("hello"));
    await eventually("an echo", () => client.received === "hello");
    client.handle.shutdown();
    await eventually("a clean end", () => client.closed === true);
    // VIP is an address of A's own, so the application's socket has it; the tunnel's source, which B sees, is A.
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
