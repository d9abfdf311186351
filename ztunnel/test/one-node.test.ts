/** Pods of one ztunnel: the tunnel is skipped, the authorization is not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import { anAuthorizationOf } from "#core/testing/builders.ts";
import { client, type Dial, echoServer, eventually, type TestServer } from "./apps.ts";
import type { ProxyOptions } from "../proxy/proxy-deps.ts";
import { identityOf, serviceFor, TestMesh, type TestNode, type TestPod } from "./test-mesh.ts";

interface Setting {
  readonly mesh: TestMesh;
  readonly node: TestNode;
  readonly clientPod: TestPod;
  readonly serverPod: TestPod;
  readonly server: TestServer;
  readonly dial: Dial;
}

async function withNode(
  work: (setting: Setting) => Promise<void>,
  options: Partial<ProxyOptions> = {},
): Promise<void> {
  const mesh = new TestMesh(chooseBackend());
  const node = mesh.node(options);
  const clientPod = await node.pod({ name: "frontend" });
  const serverPod = await node.pod({ name: "catalog" });
  const server = await echoServer(serverPod.address);
  const { service } = serviceFor(clientPod, serverPod, server.port);
  const dial = {
    host: service.vips[0]?.ip ?? "",
    port: clientPod.sockets.outboundPort,
    from: clientPod.address,
  };
  try {
    await work({ mesh, node, clientPod, serverPod, server, dial });
    assert.deepEqual(node.problems(), []);
  } finally {
    await mesh.close();
    await server.close();
  }
}

function denyOf(pod: TestPod): ReturnType<typeof anAuthorizationOf> {
  const value = identityOf(pod).slice("spiffe://".length);
  return anAuthorizationOf({ principals: { any: [{ kind: "exact", value }], none: [] } }, { action: "deny" });
}

const limits = { timeout: 20_000 };

test("a same-node connection is refused by the same policy, with one line", limits, () =>
  withNode(async ({ mesh, node, clientPod, server, dial }) => {
    mesh.commit(denyOf(clientPod));
    assert.equal((await client(dial).outcome).kind, "reset");
    assert.equal(server.clients.length, 0);
    const lines = await eventually("a line", () => node.access().length > 0 && node.access());
    assert.equal(lines.length, 1);
    assert.equal(lines[0]?.["reason"], "denied-by-policy");
    assert.equal(lines[0]?.["policy"], "default/policy");
    assert.equal(lines[0]?.["protocol"], "local");
  }),
);

test("an identity that the CA does not grant is not spoken for, also without TLS", limits, () =>
  withNode(async ({ node, clientPod, server, dial }) => {
    node.refused.add(identityOf(clientPod));
    assert.equal((await client(dial).outcome).kind, "reset");
    assert.equal(server.clients.length, 0);
  }),
);

test("a policy change ends a same-node connection", limits, () =>
  withNode(async ({ mesh, clientPod, dial }) => {
    const app = client(dial);
    app.socket.write("ping");
    await app.received(4);
    mesh.commit(denyOf(clientPod));
    assert.equal((await app.outcome).kind, "reset");
  }),
);

test("removal of the destination pod ends a same-node connection", limits, () =>
  withNode(async ({ node, serverPod, dial }) => {
    const app = client(dial);
    app.socket.write("ping");
    await app.received(4);
    await node.remove(serverPod);
    assert.equal((await app.outcome).kind, "reset");
  }),
);

test("an address that is not on the pod's device goes through the tunnel", limits, () =>
  withNode(async ({ node, serverPod, dial }) => {
    serverPod.sockets.isOnDevice = false;
    const app = client(dial);
    app.socket.end("hello");
    assert.deepEqual(await app.outcome, { kind: "ended", received: "hello" });
    await eventually("two lines", () => node.access().length === 2);
    assert.deepEqual(new Set(node.access().map((line) => line["protocol"])), new Set(["hbone"]));
  }),
);

test("the short circuit can be switched off", limits, () =>
  withNode(
    async ({ node, dial }) => {
      const app = client(dial);
      app.socket.end("hello");
      assert.equal((await app.outcome).kind, "ended");
      await eventually("two lines", () => node.access().length === 2);
    },
    { shortCircuit: false },
  ),
);

test("beyond the limit new connections are reset, and those that run go on", limits, () =>
  withNode(
    async ({ node, dial }) => {
      const running = client(dial);
      running.socket.write("ping");
      await running.received(4);
      assert.equal((await client(dial).outcome).kind, "reset");
      running.socket.end("pong");
      assert.deepEqual(await running.outcome, { kind: "ended", received: "pingpong" });
      assert.match(await node.scrape(), /ambit_connections_refused_total 1/);
    },
    { maxConnections: 1 },
  ),
);

test("a same-node connection without TLS: bytes, identities, the client's own address", limits, () =>
  withNode(async ({ node, clientPod, server, dial }) => {
    const app = client(dial);
    app.socket.end("hello");
    assert.deepEqual(await app.outcome, { kind: "ended", received: "hello" });
    assert.deepEqual(server.clients, [clientPod.address]);
    const lines = await eventually("a line", () => node.access().length > 0 && node.access());
    assert.equal(lines.length, 1);
    assert.equal(lines[0]?.["src.identity"], "spiffe://cluster.local/ns/default/sa/frontend");
    assert.equal(lines[0]?.["dst.identity"], "spiffe://cluster.local/ns/default/sa/catalog");
    assert.equal(lines[0]?.["bytes_sent"], 5);
  }),
);
