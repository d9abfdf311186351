/** Connections between pods of two ztunnels, on both socket backends. Refusals first. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { suite, test } from "node:test";
import type { HandleBackend } from "#core/handle/choose-handle.ts";
import { publicBackend } from "#core/handle/public-backend.ts";
import { rawBackend } from "#core/handle/raw-backend.ts";
import { anAuthorizationOf, aPolicyKey, aStrictPolicy } from "#core/testing/builders.ts";
import {
  client,
  countingServer,
  type Dial,
  echoServer,
  eventually,
  greetingServer,
  type TestServer,
} from "./apps.ts";
import { identityOf, serviceFor, TestMesh, type TestNode, type TestPod } from "./test-mesh.ts";

const raw = rawBackend();
const BACKENDS: readonly HandleBackend[] = [
  publicBackend,
  ...(raw.kind === "available" ? [raw.backend] : []),
];

interface Pair {
  readonly mesh: TestMesh;
  readonly here: TestNode;
  readonly there: TestNode;
  readonly clientPod: TestPod;
  readonly serverPod: TestPod;
  readonly server: TestServer;
  /** What the client's application dials. */
  readonly dial: Dial;
}

type StartServer = (host: string) => Promise<TestServer>;

async function withPair(
  backend: HandleBackend,
  work: (pair: Pair) => Promise<void>,
  startServer: StartServer = echoServer,
): Promise<void> {
  const mesh = new TestMesh(backend);
  const here = mesh.node();
  const there = mesh.node();
  const servers: TestServer[] = [];
  try {
    const clientPod = await here.pod({ name: "frontend" });
    const serverPod = await there.pod({ name: "catalog" });
    const server = await startServer(serverPod.address);
    servers.push(server);
    const { service } = serviceFor(clientPod, serverPod, server.port);
    const dial = {
      host: service.vips[0]?.ip ?? "",
      port: clientPod.sockets.outboundPort,
      from: clientPod.address,
    };
    await work({ mesh, here, there, clientPod, serverPod, server, dial });
    assert.deepEqual([...here.problems(), ...there.problems()], []);
  } finally {
    await mesh.close();
    for (const server of servers) await server.close();
  }
}

/** Only that pod's account may reach workloads that name the policy. */
function only(pod: TestPod, name: string): ReturnType<typeof anAuthorizationOf> {
  const value = identityOf(pod).slice("spiffe://".length);
  return anAuthorizationOf(
    { principals: { any: [{ kind: "exact", value }], none: [] } },
    { name, scope: "workload-selector" },
  );
}

/** The one line of a node about one direction. */
function oneLine(
  node: TestNode,
  direction: "inbound" | "outbound",
): Promise<Readonly<Record<string, unknown>>> {
  return eventually(`an ${direction} line at ${node.name}`, () => {
    const lines = node.access().filter((line) => line["direction"] === direction);
    assert.ok(lines.length <= 1, `one line per connection, not ${JSON.stringify(lines)}`);
    return lines[0];
  });
}

for (const backend of BACKENDS) {
  suite(`two ztunnels on ${backend.name} sockets`, { timeout: 60_000 }, () => {
    test("a caller that no ALLOW policy names is reset, and both sides say why", () =>
      withPair(backend, async ({ mesh, here, there, serverPod, server, dial }) => {
        const policy = only(serverPod, "only-itself");
        const known = here.state.workloads.get(serverPod.workload.uid);
        assert.ok(known);
        mesh.commit(policy, { ...known, authorizationPolicies: [aPolicyKey(policy)] });
        const app = client(dial);
        app.socket.write("hello");
        assert.equal((await app.outcome).kind, "reset");
        assert.equal(server.clients.length, 0);
        const inbound = await oneLine(there, "inbound");
        assert.equal(inbound["reason"], "no-allow-matched");
        assert.equal(inbound["nearest"], "default/only-itself rule 0: principals");
        assert.equal(inbound["src.identity"], "spiffe://cluster.local/ns/default/sa/frontend");
        assert.equal(inbound["stage"], "I5");
        const outbound = await oneLine(here, "outbound");
        assert.equal(outbound["reason"], "denied-by-peer");
      }));

    test("an explicit DENY names its policy and rule", () =>
      withPair(backend, async ({ mesh, there, clientPod, dial }) => {
        mesh.commit({ ...only(clientPod, "not-frontend"), action: "deny", scope: "namespace" });
        const app = client(dial);
        assert.equal((await app.outcome).kind, "reset");
        const line = await oneLine(there, "inbound");
        assert.equal(line["policy"], "default/not-frontend");
        assert.equal(line["rule"], 0);
        assert.equal(line["reason"], "denied-by-policy");
      }));

    test("a policy that is named but never arrives refuses after a while", () =>
      withPair(backend, async ({ mesh, here, there, serverPod, server, dial }) => {
        const known = here.state.workloads.get(serverPod.workload.uid);
        assert.ok(known);
        mesh.commit({ ...known, authorizationPolicies: ["default/unknown" as never] });
        assert.equal((await client(dial).outcome).kind, "reset");
        assert.equal((await oneLine(there, "inbound"))["reason"], "policy-missing");
        assert.equal(server.clients.length, 0);
      }));

    test("plaintext to a STRICT pod is reset before a byte reaches the application", () =>
      withPair(backend, async ({ mesh, here, there, clientPod, serverPod, server }) => {
        const strict = aStrictPolicy();
        const known = here.state.workloads.get(serverPod.workload.uid);
        assert.ok(known);
        mesh.commit(strict, { ...known, authorizationPolicies: [aPolicyKey(strict)] });
        serverPod.sockets.plaintextTarget = server.port;
        const app = client({
          host: serverPod.address,
          port: serverPod.sockets.plaintextPort,
          from: clientPod.address,
        });
        app.socket.write("secret");
        assert.equal((await app.outcome).kind, "reset");
        assert.equal(server.clients.length, 0);
        const line = await oneLine(there, "inbound");
        assert.equal(line["policy"], "istio-system/istio_converted_static_strict");
        assert.equal(line["src.identity"], undefined);
        assert.doesNotMatch(
          await there.scrape(),
          /source_address=/,
          "who was not let in does not count as let in",
        );
      }));

    test("a destination with another identity than expected is refused, never plaintext", () =>
      withPair(backend, async ({ mesh, here, serverPod, server, dial }) => {
        const known = here.state.workloads.get(serverPod.workload.uid);
        assert.ok(known);
        here.state.commit({
          upserts: [{ kind: "workload", workload: { ...known, serviceAccount: "somebody-else" } }],
          removals: [],
        });
        assert.equal((await client(dial).outcome).kind, "reset");
        assert.equal(server.clients.length, 0);
        assert.equal((await oneLine(here, "outbound"))["reason"], "identity-mismatch");
        assert.ok(mesh.nodes.length === 2);
      }));

    test("an enrolled destination without a tunnel listener is refused, never plaintext", () =>
      withPair(backend, async ({ here, there, serverPod, server, dial }) => {
        await there.remove(serverPod);
        assert.equal((await client(dial).outcome).kind, "reset");
        assert.equal(server.clients.length, 0);
        assert.equal((await oneLine(here, "outbound"))["reason"], "tunnel-failed");
      }));

    test("a pod that the controller does not know is refused after a bounded wait", () =>
      withPair(backend, async ({ here, dial }) => {
        const stranger = await here.pod({ name: "stranger", announce: false });
        const app = client({ ...dial, port: stranger.sockets.outboundPort, from: stranger.address });
        assert.equal((await app.outcome).kind, "reset");
        assert.equal((await oneLine(here, "outbound"))["reason"], "source-unknown");
      }));

    test("a pod announced under another account than the controller says is refused", () =>
      withPair(backend, async ({ mesh, here, dial }) => {
        const impostor = await here.pod({ name: "impostor", announce: false });
        mesh.commit({ ...impostor.workload, serviceAccount: "frontend" });
        const app = client({ ...dial, port: impostor.sockets.outboundPort, from: impostor.address });
        assert.equal((await app.outcome).kind, "reset");
        assert.equal((await oneLine(here, "outbound"))["reason"], "source-unknown");
      }));

    test("without a certificate the connection is refused with that reason", () =>
      withPair(backend, async ({ here, clientPod, server, dial }) => {
        here.refused.add(identityOf(clientPod));
        assert.equal((await client(dial).outcome).kind, "reset");
        assert.equal(server.clients.length, 0);
        const line = await oneLine(here, "outbound");
        assert.equal(line["reason"], "no-certificate");
        assert.match(String(line["error"]), /the CA refused/);
      }));

    test("an application that does not listen is a reset", () =>
      withPair(backend, async ({ here, there, server, dial }) => {
        await server.close();
        assert.equal((await client(dial).outcome).kind, "reset");
        assert.equal((await oneLine(there, "inbound"))["reason"], "connect-failed");
        assert.equal((await oneLine(here, "outbound"))["reason"], "tunnel-refused");
      }));

    test("an allowed connection: bytes, identities, serials and the client's own address", () =>
      withPair(backend, async ({ mesh, here, there, clientPod, serverPod, server, dial }) => {
        const policy = only(clientPod, "only-frontend");
        const known = here.state.workloads.get(serverPod.workload.uid);
        assert.ok(known);
        mesh.commit(policy, { ...known, authorizationPolicies: [aPolicyKey(policy)] });
        const app = client(dial);
        app.socket.end("hello");
        assert.deepEqual(await app.outcome, { kind: "ended", received: "hello" });
        assert.deepEqual(server.clients, [clientPod.address]);
        const [outbound, inbound] = [await oneLine(here, "outbound"), await oneLine(there, "inbound")];
        for (const line of [outbound, inbound]) {
          assert.equal(line["error"], undefined);
          assert.equal(line["src.identity"], "spiffe://cluster.local/ns/default/sa/frontend");
          assert.equal(line["dst.identity"], "spiffe://cluster.local/ns/default/sa/catalog");
          assert.equal(line["bytes_sent"], 5);
          assert.equal(line["bytes_recv"], 5);
          assert.match(String(line["src.cert_serial"]), /^[0-9a-f]+$/);
        }
        assert.equal(outbound["src.cert_serial"], inbound["src.cert_serial"]);
        assert.equal(outbound["dst.cert_serial"], inbound["dst.cert_serial"]);
        assert.equal(inbound["policy"], "default/only-frontend");
        assert.equal(inbound["src.workload"], "frontend");
        assert.equal(inbound["dst.service"], outbound["dst.service"]);
        assert.match(await there.scrape(), /opened_total\{reporter="destination".*mutual_tls"\} 1/);
      }));

    test("half-close: the answer comes after the client's end", () =>
      withPair(
        backend,
        async ({ dial }) => {
          const app = client(dial);
          app.socket.end("x".repeat(300_000));
          assert.deepEqual(await app.outcome, { kind: "ended", received: "300000 bytes" });
        },
        countingServer,
      ));

    test("every descriptor comes back, however connections ended", () =>
      withPair(backend, async ({ here, there, dial }) => {
        const descriptors = (): number => readdirSync("/proc/self/fd").length;
        const warm = client(dial);
        warm.socket.end();
        await warm.outcome;
        await eventually("an idle start", () => here.registry.size + there.registry.size === 0);
        const before = descriptors();
        const apps = Array.from({ length: 60 }, () => client(dial));
        await Promise.all(
          apps.map(async ({ socket, outcome, received }, i) => {
            socket.write("x".repeat(1 + i * 1_000));
            if (i % 3 === 0) socket.end();
            else if (i % 3 === 1) setImmediate(() => socket.resetAndDestroy());
            else void received(1).then(() => socket.resetAndDestroy());
            await outcome;
          }),
        );
        // A third is reset before it can be accepted, and may leave no line.
        await eventually("a line of every connection that was served", () => here.access().length >= 41);
        await eventually("all to be gone", () => here.registry.size + there.registry.size === 0);
        await eventually("descriptors to come back", () => descriptors() <= before);
      }));

    test("a server that speaks first", () =>
      withPair(
        backend,
        async ({ dial }) => {
          const app = client(dial);
          assert.deepEqual(await app.outcome, { kind: "ended", received: "220 hello\r\n" });
          app.socket.end();
        },
        (host) => greetingServer(host, "220 hello\r\n"),
      ));

    test("several connections of one pod share a tunnel", () =>
      withPair(backend, async ({ clientPod, dial }) => {
        const apps = Array.from({ length: 20 }, () => client(dial));
        for (const app of apps) app.socket.write("ping");
        for (const app of apps) assert.equal(await app.received(4), "ping");
        assert.equal(clientPod.proxy.context.pool.tunnels().length, 1);
        for (const app of apps) app.socket.end();
        for (const app of apps) assert.equal((await app.outcome).kind, "ended");
      }));

    test("a policy that arrives closes live connections at once, with one line each", () =>
      withPair(backend, async ({ mesh, there, clientPod, dial }) => {
        const apps = [client(dial), client(dial)];
        for (const app of apps) app.socket.write("ping");
        for (const app of apps) await app.received(4);
        mesh.commit({ ...only(clientPod, "not-frontend"), action: "deny", scope: "namespace" });
        for (const app of apps) assert.equal((await app.outcome).kind, "reset");
        const lines = await eventually("two lines", () => {
          const all = there.access().filter((line) => line["direction"] === "inbound");
          return all.length === 2 && all;
        });
        for (const line of lines) {
          assert.equal(line["reason"], "policy-changed");
          assert.equal(line["policy"], "default/not-frontend");
        }
      }));

    test("a change of the destination's policy names is enough", () =>
      withPair(backend, async ({ mesh, here, serverPod, dial }) => {
        const policy = only(serverPod, "only-itself");
        mesh.commit(policy);
        const app = client(dial);
        app.socket.write("ping");
        await app.received(4);
        const known = here.state.workloads.get(serverPod.workload.uid);
        assert.ok(known);
        mesh.commit({ ...known, authorizationPolicies: [aPolicyKey(policy)] });
        assert.equal((await app.outcome).kind, "reset");
      }));

    test("an allowed connection survives policy changes that do not concern it", () =>
      withPair(backend, async ({ mesh, serverPod, dial }) => {
        const app = client(dial);
        app.socket.write("ping");
        await app.received(4);
        mesh.commit({ ...only(serverPod, "not-catalog"), action: "deny", scope: "namespace" });
        app.socket.end("pong");
        assert.deepEqual(await app.outcome, { kind: "ended", received: "pingpong" });
      }));

    test("plaintext is let in where no policy forbids it, with the client's address", () =>
      withPair(backend, async ({ there, clientPod, serverPod, server }) => {
        serverPod.sockets.plaintextTarget = server.port;
        const { address: host } = serverPod;
        const app = client({ host, port: serverPod.sockets.plaintextPort, from: clientPod.address });
        app.socket.end("hello");
        assert.deepEqual(await app.outcome, { kind: "ended", received: "hello" });
        assert.deepEqual(server.clients, [clientPod.address]);
        const line = await oneLine(there, "inbound");
        assert.equal(line["protocol"], "tcp");
        assert.equal(line["src.identity"], undefined);
        const counted = `source_address="${clientPod.address}".*destination_port="${serverPod.sockets.plaintextPort}"`;
        assert.match(
          await there.scrape(),
          new RegExp(`^ambit_plaintext_connections_last_hour\\{${counted}`, "m"),
        );
      }));

    test("removal of a pod ends its connections on both sides", () =>
      withPair(backend, async ({ here, there, serverPod, dial }) => {
        const app = client(dial);
        app.socket.write("ping");
        await app.received(4);
        await there.remove(serverPod);
        assert.equal((await app.outcome).kind, "reset");
        assert.equal((await oneLine(there, "inbound"))["reason"], "draining");
        await oneLine(here, "outbound");
        assert.equal(here.registry.size + there.registry.size, 0);
      }));

    test("drain lets an open connection finish and takes no new one", () =>
      withPair(backend, async ({ serverPod, dial }) => {
        const app = client(dial);
        app.socket.write("ping");
        await app.received(4);
        const drained = serverPod.proxy.drain();
        app.socket.end("pong");
        assert.deepEqual(await app.outcome, { kind: "ended", received: "pingpong" });
        await drained;
        assert.equal((await client(dial).outcome).kind, "reset");
      }));
  });
}
