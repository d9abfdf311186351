/** Changes of configuration and the end of a waypoint, with requests under way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Socket } from "node:net";
import { StreamHandle } from "#core/hbone/stream-handle.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";
import { eventually } from "./apps.ts";
import { FRONTEND, limits, withCatalog, withPlain } from "./catalog.ts";
import { HttpCaller } from "./http-caller.ts";
import type { TestWaypoint } from "./test-waypoint.ts";
import { from, NO_ADMIN, policy, READ_ITEMS, rule } from "./policies.ts";

const NO_FRONTEND = policy("no-frontend", { action: "deny", rules: [rule({ from: [from("frontend")] })] });
/** With its 200, and nothing said on it yet. */
async function opened(waypoint: TestWaypoint, address: SocketAddress): Promise<HttpCaller> {
  const stream = await waypoint.tunnel(FRONTEND, address);
  await eventually("its 200", () => stream.isOpen);
  return new HttpCaller(new StreamHandle({ stream, local: address, remote: address }));
}

const HEAD = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

test("a stream that policy no longer allows is broken off; one that it still allows goes on", limits, () => {
  let upstream: Socket | undefined;
  return withPlain(
    (socket) => {
      upstream = socket;
      socket.once("data", () => socket.write(`${HEAD}5\r\nfirst\r\n`));
    },
    async ({ waypoint, service }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.send("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n");
      await caller.received(HEAD.length);
      waypoint.configure({
        services: [{ service: service.key, policies: [NO_ADMIN.key] }],
        policies: [NO_ADMIN],
      });
      upstream?.write("6\r\nsecond\r\n");
      await eventually("more of it", () => caller.rest.includes("second"));
      waypoint.configure({
        services: [{ service: service.key, policies: [NO_FRONTEND.key] }],
        policies: [NO_FRONTEND],
      });
      assert.equal(await caller.ended(), "reset");
      const line = waypoint.access()[0];
      assert.equal(line?.["reason"], "policy-changed");
      assert.equal(line?.["policy"], "shop/no-frontend");
      await eventually("the upstream is let go", () => upstream?.destroyed === true);
    },
  );
});

test("a request that waits for its answer is told when policy changes", limits, () =>
  withPlain(
    () => undefined,
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.send("GET /wait HTTP/1.1\r\nhost: a\r\n\r\n");
      await eventually("it is under way", () => app.sockets.length === 1);
      waypoint.configure({
        services: [{ service: service.key, policies: [NO_FRONTEND.key] }],
        policies: [NO_FRONTEND],
      });
      assert.equal((await caller.answer()).status, 403);
    },
  ),
);

test("a plain connection that policy no longer allows is reset", limits, () =>
  withPlain(
    (socket) => socket.on("data", (chunk) => socket.write(chunk)),
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.send("\0ping");
      assert.equal(await caller.received(5), "\0ping");
      waypoint.configure({
        services: [{ service: service.key, policies: [NO_FRONTEND.key] }],
        policies: [NO_FRONTEND],
      });
      assert.equal(await caller.ended(), "reset");
      await eventually("the upstream is let go", () => app.sockets[0]?.destroyed === true);
      const line = await eventually("a line", () => waypoint.access()[0]);
      assert.equal(line["reason"], "policy-changed");
    },
    { protocol: "tcp" },
  ),
);

test("the next request is judged by the policies of now, on the same connection", limits, () =>
  withCatalog(async ({ waypoint, app, catalog }) => {
    const caller = await waypoint.http(FRONTEND, catalog.address);
    assert.equal((await caller.get("/other")).status, 200);
    waypoint.configure({
      services: [{ service: catalog.key, policies: [READ_ITEMS.key] }],
      policies: [READ_ITEMS],
    });
    assert.equal((await caller.get("/other")).status, 403);
    assert.equal((await caller.get("/items")).status, 200);
    assert.equal(app.requests.length, 2);
  }),
);

test(
  "callers of what is no longer bound are told to go elsewhere; what is under way finishes",
  limits,
  () => {
    let upstream: Socket | undefined;
    return withPlain(
      (socket) => {
        upstream = socket;
        socket.once("data", () => socket.write(`${HEAD}5\r\nfirst\r\n`));
      },
      async ({ waypoint, service }) => {
        const caller = await waypoint.http(FRONTEND, service.address);
        caller.send("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n");
        await caller.received(HEAD.length + 10);
        waypoint.configure({ services: [], workloads: [] });
        upstream?.write("4\r\nlast\r\n0\r\n\r\n");
        await eventually("the end of it", () => caller.rest.endsWith("0\r\n\r\n"));
        assert.equal(await caller.ended(), "end");
        assert.equal(waypoint.access()[0]?.["reason"], undefined);
      },
    );
  },
);

for (const [what, takeAway] of [
  ["the binding", (waypoint: TestWaypoint) => waypoint.configure({ services: [], workloads: [] })],
  ["the whole configuration", (waypoint: TestWaypoint) => waypoint.config.set(undefined)],
] as const)
  test(
    `a request on its way when ${what} goes is judged as before, and the last of its connection`,
    limits,
    () =>
      withCatalog(async ({ waypoint, app, catalog }) => {
        waypoint.configure({
          services: [{ service: catalog.key, policies: [READ_ITEMS.key] }],
          policies: [READ_ITEMS],
        });
        const [allowed, denied] = [
          await waypoint.http(FRONTEND, catalog.address),
          await waypoint.http(FRONTEND, catalog.address),
        ];
        for (const caller of [allowed, denied]) assert.equal((await caller.get("/items")).status, 200);
        takeAway(waypoint);
        assert.equal((await allowed.get("/items/late")).status, 200);
        assert.equal(await allowed.ended(), "end");
        assert.equal((await denied.get("/other/late")).status, 403, "not let through without policies");
        assert.equal(await denied.ended(), "end");
        assert.equal(app.requests.length, 3);
      }),
  );

test(
  "the first request of a connection that was opened before the binding went is judged as before, and the last",
  limits,
  () =>
    withCatalog(async ({ waypoint, app, catalog }) => {
      waypoint.configure({
        services: [{ service: catalog.key, policies: [READ_ITEMS.key] }],
        policies: [READ_ITEMS],
      });
      const [allowed, denied] = [
        await opened(waypoint, catalog.address),
        await opened(waypoint, catalog.address),
      ];
      waypoint.configure({ services: [], workloads: [] });
      assert.equal((await allowed.get("/items/first")).status, 200);
      assert.equal(await allowed.ended(), "end");
      assert.equal((await denied.get("/other/first")).status, 403);
      assert.equal(await denied.ended(), "end");
      assert.equal(app.requests.length, 1);
    }),
);

test(
  "a plain connection that was opened before the binding went is judged as before when it begins to speak",
  limits,
  () =>
    withPlain(
      (socket) => socket.on("data", (chunk) => socket.write(chunk)),
      async ({ waypoint, service }) => {
        for (const policies of [[], [NO_FRONTEND]]) {
          waypoint.configure({
            services: [{ service: service.key, policies: policies.map(({ key }) => key) }],
            policies,
          });
          const caller = await opened(waypoint, service.address);
          waypoint.configure({ services: [], workloads: [] });
          caller.send("\0ping");
          if (policies.length === 0) assert.equal(await caller.received(5), "\0ping");
          else assert.equal(await caller.ended(), "reset");
        }
      },
      { protocol: "unknown" },
    ),
);

test("a destination that is bound again is judged by the new policies alone", limits, () =>
  withCatalog(async ({ waypoint, catalog }) => {
    waypoint.configure({
      services: [{ service: catalog.key, policies: [READ_ITEMS.key] }],
      policies: [READ_ITEMS],
    });
    const caller = await waypoint.http(FRONTEND, catalog.address);
    assert.equal((await caller.get("/items")).status, 200);
    waypoint.configure({ services: [], workloads: [] });
    waypoint.configure({
      services: [{ service: catalog.key, policies: [NO_FRONTEND.key] }],
      policies: [NO_FRONTEND],
    });
    assert.equal((await caller.get("/items")).status, 403);
  }),
);

test("a drain lets requests finish, says so, and takes no new tunnel", limits, () => {
  let upstream: Socket | undefined;
  return withPlain(
    (socket) => {
      upstream = socket;
      socket.on("data", () => undefined);
    },
    async ({ waypoint, service }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.send("GET /last HTTP/1.1\r\nhost: a\r\n\r\n");
      await eventually("it is under way", () => upstream !== undefined);
      let isOver = false;
      const drained = waypoint.server.drain().then(() => (isOver = true));
      await assert.rejects(waypoint.http(FRONTEND, service.address));
      assert.equal(isOver, false);
      upstream?.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast");
      const answer = await caller.answer();
      assert.equal(answer.status, 200);
      assert.equal(answer.body, "last");
      assert.equal(answer.fields["connection"], "close");
      await drained;
    },
  );
});

test("closing ends whatever is left, each with its line", limits, () =>
  withPlain(
    () => undefined,
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.send("GET /never HTTP/1.1\r\nhost: a\r\n\r\n");
      await eventually("it is under way", () => app.sockets.length === 1);
      await waypoint.server.close("the test ends it");
      assert.equal(waypoint.access()[0]?.["reason"], "draining");
      await eventually("the upstream is let go", () => app.sockets[0]?.destroyed === true);
    },
  ),
);
