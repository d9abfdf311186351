/** Two ztunnels and a waypoint: bound connections wait, go through, or end; never around. On both socket backends. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { HandleBackend } from "#core/handle/choose-handle.ts";
import { publicBackend } from "#core/handle/public-backend.ts";
import { rawBackend } from "#core/handle/raw-backend.ts";
import type { Service } from "#core/model/service.ts";
import type { Workload } from "#core/model/workload.ts";
import { anAuthorizationOf, aPolicyKey } from "#core/testing/builders.ts";
import { client, type Dial, echoServer, eventually, type TestClient, type TestServer } from "./apps.ts";
import { AUTOMATIC, FakeWaypoint } from "./fake-waypoint.ts";
import { identityOf, serviceFor, TestMesh, type TestNode, type TestPod } from "./test-mesh.ts";

const raw = rawBackend();
const BACKENDS: readonly HandleBackend[] = [
  publicBackend,
  ...(raw.kind === "available" ? [raw.backend] : []),
];
const IDENTITY = "spiffe://cluster.local/ns/default/sa/ambit-waypoint";

interface World {
  readonly mesh: TestMesh;
  readonly here: TestNode;
  readonly there: TestNode;
  readonly clientPod: TestPod;
  readonly serverPod: TestPod;
  readonly server: TestServer;
  readonly waypoint: FakeWaypoint;
  readonly dial: Dial;
  /** Tells every node of the binding. */
  bind(): void;
  unbind(): void;
  /** The destination admits the waypoint alone. */
  deny(): void;
}

interface Options {
  readonly protocol?: Service["ports"][number]["appProtocol"];
  /** Both pods on one node. */
  readonly sameNode?: boolean;
}

async function withWaypoint(
  backend: HandleBackend,
  work: (world: World) => Promise<void>,
  { protocol = "http11", sameNode = false }: Options = {},
): Promise<void> {
  const mesh = new TestMesh(backend);
  const here = mesh.node();
  const there = sameNode ? here : mesh.node();
  const waypoint = new FakeWaypoint(mesh);
  let server: TestServer | undefined;
  try {
    const clientPod = await here.pod({ name: "frontend" });
    const serverPod = await there.pod({ name: "catalog" });
    server = await echoServer(serverPod.address);
    waypoint.target = { pod: serverPod, port: server.port };
    const made = serviceFor(clientPod, serverPod, server.port);
    const service = {
      ...made.service,
      ports: made.service.ports.map((p) => ({ ...p, appProtocol: protocol })),
    };
    mesh.commit(service, FakeWaypoint.service());
    const bound = (): Workload => ({ ...made.workload, waypoint: AUTOMATIC });
    await work({
      mesh,
      here,
      there,
      clientPod,
      serverPod,
      server,
      waypoint,
      dial: {
        host: service.vips[0]?.ip ?? "",
        port: clientPod.sockets.outboundPort,
        from: clientPod.address,
      },
      bind: () => mesh.commit({ ...service, waypoint: AUTOMATIC }, bound()),
      unbind: () => mesh.commit(service, made.workload),
      deny: () => {
        const policy = onlyThroughWaypoint();
        mesh.commit(policy, { ...bound(), authorizationPolicies: [aPolicyKey(policy)] });
      },
    });
    assert.deepEqual([...here.problems(), ...there.problems()], []);
  } finally {
    await waypoint.stop();
    await mesh.close();
    await server?.close();
  }
}

function onlyThroughWaypoint(): ReturnType<typeof anAuthorizationOf> {
  const value = IDENTITY.slice("spiffe://".length);
  return anAuthorizationOf(
    { principals: { any: [], none: [{ kind: "exact", value }] } },
    { name: "ambit_only_through_waypoint", scope: "workload-selector", action: "deny" },
  );
}

async function say(app: TestClient, text: string): Promise<string> {
  app.socket.write(text);
  return app.received(text.length);
}

function lineOf(
  node: TestNode,
  direction: "inbound" | "outbound",
): Promise<Readonly<Record<string, unknown>>> {
  return eventually(`an ${direction} line`, () =>
    node.access().find((line) => line["direction"] === direction),
  );
}

for (const backend of BACKENDS) {
  suite(`waypoint hop on ${backend.name} sockets`, { timeout: 60_000 }, () => {
    test("without any waypoint pod the connection waits, then is refused with a reason, and nothing arrives", () =>
      withWaypoint(backend, async ({ here, server, dial, bind }) => {
        bind();
        const app = client(dial);
        app.socket.write("hello");
        assert.equal((await app.outcome).kind, "reset");
        const line = await lineOf(here, "outbound");
        assert.equal(line["reason"], "waypoint-unresolvable");
        assert.match(String(line["error"]), /waited 300 ms for a waypoint/);
        assert.equal(server.clients.length, 0);
      }));

    test("with a waypoint pod that does not listen it is tried until the wait is over", () =>
      withWaypoint(backend, async ({ mesh, here, waypoint, server, dial, bind }) => {
        bind();
        mesh.commit(waypoint.workload);
        const app = client(dial);
        assert.equal((await app.outcome).kind, "reset");
        const line = await lineOf(here, "outbound");
        assert.equal(line["reason"], "tunnel-failed");
        assert.match(String(line["error"]), /no TCP connection.*waited 300 ms/);
        assert.equal(server.clients.length, 0);
      }));

    test("a pod that claims to be the waypoint under another account gets nothing", () =>
      withWaypoint(backend, async ({ mesh, here, serverPod, server, dial, bind }) => {
        const thief = new FakeWaypoint(mesh, "thief", "thief");
        thief.target = { pod: serverPod, port: server.port };
        await thief.start();
        try {
          bind();
          mesh.commit(thief.workload);
          const app = client(dial);
          app.socket.write("secret");
          assert.equal((await app.outcome).kind, "reset");
          assert.equal((await lineOf(here, "outbound"))["reason"], "identity-mismatch");
          assert.deepEqual(thief.asked, []);
        } finally {
          await thief.stop();
        }
      }));

    for (const status of [400, 401] as const) {
      test(`a waypoint that answers ${status} means it: refused at once`, () =>
        withWaypoint(backend, async ({ mesh, here, waypoint, dial, bind }) => {
          await waypoint.start();
          waypoint.answer = status;
          bind();
          mesh.commit(waypoint.workload);
          assert.equal((await client(dial).outcome).kind, "reset");
          assert.equal(waypoint.asked.length, 1);
          const reason = status === 401 ? "denied-by-peer" : "tunnel-refused";
          assert.equal((await lineOf(here, "outbound"))["reason"], reason);
        }));
    }

    for (const status of [404, 503] as const) {
      test(`a waypoint that answers ${status} may only be behind: asked again until it takes the connection`, () =>
        withWaypoint(backend, async ({ mesh, here, waypoint, dial, bind }) => {
          await waypoint.start();
          waypoint.answer = status;
          bind();
          mesh.commit(waypoint.workload);
          const app = client(dial);
          app.socket.write("hello");
          await eventually("a second question", () => waypoint.asked.length >= 2);
          waypoint.answer = "forward";
          assert.equal(await app.received(5), "hello");
          app.socket.end();
          assert.equal((await lineOf(here, "outbound"))["reason"], undefined);
        }));
    }

    test("a waypoint that never answers is given up when the wait is over", () =>
      withWaypoint(backend, async ({ mesh, here, waypoint, dial, bind }) => {
        await waypoint.start();
        waypoint.answer = "silence";
        bind();
        mesh.commit(waypoint.workload);
        assert.equal((await client(dial).outcome).kind, "reset");
        assert.match(String((await lineOf(here, "outbound"))["error"]), /did not answer in time/);
      }));

    test("the connection goes through as soon as a waypoint is there, under the caller's own identity", () =>
      withWaypoint(backend, async ({ mesh, here, there, clientPod, waypoint, dial, bind }) => {
        bind();
        const app = client(dial);
        app.socket.write("hello");
        await waypoint.start();
        mesh.commit(waypoint.workload);
        assert.equal(await app.received(5), "hello");
        assert.equal(waypoint.asked[0]?.peer, identityOf(clientPod));
        assert.equal(waypoint.asked[0]?.authority, `${dial.host}:${dial.port}`, "as dialled");
        app.socket.end();
        const outbound = await lineOf(here, "outbound");
        assert.equal(outbound["dst.identity"], IDENTITY);
        assert.equal((await lineOf(there, "inbound"))["src.identity"], IDENTITY);
      }));

    test("only so many of a pod wait; those beyond are refused at once", () =>
      withWaypoint(backend, async ({ here, dial, bind }) => {
        bind();
        const apps = [1, 2, 3, 4].map(() => client(dial));
        await Promise.all(apps.map((app) => app.outcome));
        const errors = here.access().map((line) => String(line["error"]));
        assert.equal(errors.filter((error) => error.includes("too many connections wait")).length, 1);
        assert.equal(errors.filter((error) => error.includes("waited 300 ms")).length, 3);
      }));

    test("when the waypoint is not bound any more, what waits goes on directly", () =>
      withWaypoint(backend, async ({ here, dial, bind, unbind }) => {
        bind();
        const app = client(dial);
        app.socket.write("hello");
        await new Promise((resolve) => setImmediate(resolve));
        unbind();
        assert.equal(await app.received(5), "hello");
        app.socket.end();
        assert.equal(
          (await lineOf(here, "outbound"))["dst.identity"],
          "spiffe://cluster.local/ns/default/sa/catalog",
        );
      }));

    test("a waypoint that is killed and comes back serves the connections that waited", () =>
      withWaypoint(backend, async ({ mesh, waypoint, dial, bind }) => {
        await waypoint.start();
        bind();
        mesh.commit(waypoint.workload);
        const first = client(dial);
        assert.equal(await say(first, "one"), "one");
        await waypoint.stop();
        assert.equal((await first.outcome).kind, "reset", "what was under way fails visibly");
        const second = client(dial);
        second.socket.write("two");
        const again = new FakeWaypoint(mesh);
        Object.assign(again, { target: waypoint.target, workload: waypoint.workload });
        await again.start();
        try {
          assert.equal(await second.received(3), "two");
          second.socket.destroy();
        } finally {
          await again.stop();
        }
      }));

    test("two pods of one node do not skip the hop", () =>
      withWaypoint(
        backend,
        async ({ mesh, here, waypoint, dial, bind }) => {
          await waypoint.start();
          bind();
          mesh.commit(waypoint.workload);
          const app = client(dial);
          assert.equal(await say(app, "hello"), "hello");
          assert.equal(waypoint.asked.length, 1);
          app.socket.end();
          assert.notEqual((await lineOf(here, "outbound"))["protocol"], "local");
        },
        { sameNode: true },
      ));

    test("a port declared TCP is never brought to the waypoint", () =>
      withWaypoint(
        backend,
        async ({ mesh, waypoint, dial, bind }) => {
          await waypoint.start();
          bind();
          mesh.commit(waypoint.workload);
          const app = client(dial);
          assert.equal(await say(app, "hello"), "hello");
          assert.deepEqual(waypoint.asked, []);
          app.socket.destroy();
        },
        { protocol: "tcp" },
      ));

    for (const sameNode of [false, true]) {
      const where = sameNode ? "within a node" : "between nodes";
      test(`an idle connection from before the binding is told its end, ${where}; the next goes through`, () =>
        withWaypoint(
          backend,
          async ({ mesh, here, waypoint, dial, bind }) => {
            await waypoint.start();
            mesh.commit(waypoint.workload);
            const old = client(dial);
            assert.equal(await say(old, "one"), "one");
            bind();
            assert.equal((await old.outcome).kind, "ended", "an end, not a failure");
            old.socket.end();
            const line = await lineOf(here, "outbound");
            assert.deepEqual([line["reason"], line["stage"]], ["moved-to-waypoint", "O10"]);
            const next = client(dial);
            assert.equal(await say(next, "two"), "two");
            assert.equal(waypoint.asked.length, 1);
            next.socket.destroy();
          },
          { sameNode },
        ));
    }

    test("what goes past the waypoint is refused by the destination, and open connections are judged before the commit returns", () =>
      withWaypoint(backend, async ({ there, server, dial, deny }) => {
        const old = client(dial);
        assert.equal(await say(old, "one"), "one");
        const before = there.access().length;
        deny();
        assert.equal(there.access().length, before + 1, "closed when the commit returned");
        assert.equal((await old.outcome).kind, "reset");
        const closed = there.access().at(-1);
        assert.equal(closed?.["reason"], "policy-changed");
        assert.match(String(closed?.["error"]), /NotThroughWaypoint/);
        assert.equal(server.clients.length, 1);
      }));

    test("a caller that is not bound yet and dials anew is refused with the waypoint's reason", () =>
      withWaypoint(backend, async ({ here, there, server, dial, deny, unbind }) => {
        deny();
        // The source does not know of the binding (yet); the destination does.
        const known = [...there.state.workloads.values()].find((w) => w.name === "catalog");
        assert.ok(known);
        here.state.commit({
          upserts: [{ kind: "workload", workload: { ...known, waypoint: undefined } }],
          removals: [],
        });
        const app = client(dial);
        app.socket.write("hello");
        assert.equal((await app.outcome).kind, "reset");
        const line = await lineOf(there, "inbound");
        assert.equal(line["reason"], "not-through-waypoint");
        assert.equal(line["policy"], "default/ambit_only_through_waypoint");
        assert.match(String(line["error"]), /NotThroughWaypoint/);
        assert.equal(server.clients.length, 0);
        unbind();
      }));
  });
}
