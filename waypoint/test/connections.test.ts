/** Connections that are not HTTP, and those that only look so: told by what is declared and by the first bytes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "./apps.ts";
import { FRONTEND, limits, withPlain } from "./catalog.ts";
import { from, NO_ADMIN, policy, READ_ITEMS, rule } from "./policies.ts";
import { identity } from "./test-waypoint.ts";

const FAST = { detectMs: 50, firstBytesMs: 150 };
const NO_INTRUDER = policy("no-intruder", { action: "deny", rules: [rule({ from: [from("intruder")] })] });

/** Speaks first, then echoes. */
const greeter: Parameters<typeof withPlain>[0] = (socket) => {
  socket.write("hello\n");
  socket.on("data", (chunk) => socket.write(chunk));
  socket.on("end", () => socket.end());
};

for (const protocol of ["tcp", "tls", "unknown"] as const) {
  test(`a server that speaks first is reached on a port declared ${protocol}`, limits, () =>
    withPlain(
      greeter,
      async ({ waypoint, service, pod }) => {
        const caller = await waypoint.http(FRONTEND, service.address);
        assert.equal(await caller.received(6), "hello\n");
        caller.send("\0binary");
        assert.equal(await caller.received(7), "\0binary");
        caller.handle.shutdown();
        assert.equal(await caller.ended(), "end");
        const line = await eventually("a line", () => waypoint.access()[0]);
        assert.equal(line["reason"], undefined);
        assert.equal(line["bytes_received"], 7);
        assert.equal(line["bytes_sent"], 13);
        assert.equal(line["src.identity"], FRONTEND);
        assert.deepEqual(pod.peers, [identity("ambit-waypoint")]);
        assert.match(
          await waypoint.metrics.metrics(),
          /istio_tcp_connections_closed_total\{[^}]*reporter="waypoint"[^}]*\} 1/,
        );
      },
      { protocol, limits: FAST, policies: [NO_INTRUDER] },
    ),
  );
}

for (const protocol of ["tcp", "unknown"] as const) {
  test(`a connection is refused by policy before the application hears of it (${protocol})`, limits, () =>
    withPlain(
      greeter,
      async ({ waypoint, service, app }) => {
        const caller = await waypoint.http(identity("intruder"), service.address);
        caller.send("\0binary");
        assert.equal(await caller.ended(), "reset");
        assert.equal(app.sockets.length, 0);
        const line = await eventually("a line", () => waypoint.access()[0]);
        assert.equal(line["reason"], "denied-by-policy");
        assert.equal(line["policy"], "shop/no-intruder");
      },
      { protocol, limits: FAST, policies: [NO_INTRUDER] },
    ),
  );
}

test("policies of the endpoint are asked for connections too, besides those of the service", limits, () =>
  withPlain(
    greeter,
    async ({ waypoint, pod, service, app }) => {
      waypoint.configure({
        policies: [NO_INTRUDER],
        workloads: [{ workload: pod.workload.uid, policies: [NO_INTRUDER.key] }],
      });
      const caller = await waypoint.http(identity("intruder"), service.address);
      caller.send("\0binary");
      assert.equal(await caller.ended(), "reset");
      assert.equal(app.sockets.length, 0);
      const line = await eventually("a line", () => waypoint.access()[0]);
      assert.deepEqual([line["reason"], line["policy"]], ["denied-by-policy", "shop/no-intruder"]);
    },
    { protocol: "tcp" },
  ),
);

test("too many connections at once are refused with a reason, the others go on", limits, () =>
  withPlain(
    greeter,
    async ({ waypoint, service, app }) => {
      const open = [
        await waypoint.http(FRONTEND, service.address),
        await waypoint.http(FRONTEND, service.address),
      ];
      for (const caller of open) assert.equal(await caller.received(6), "hello\n");
      const third = await waypoint.http(FRONTEND, service.address);
      assert.equal(await third.ended(), "reset");
      assert.equal(app.sockets.length, 2);
      const line = await eventually("a line", () => waypoint.access()[0]);
      assert.deepEqual([line["reason"], line["response_flags"]], ["too-many-requests", "UO"]);
    },
    { protocol: "tcp", limits: { maxCalls: 4 } },
  ),
);

test("an ALLOW of HTTP alone allows no connection that is none", limits, () =>
  withPlain(
    greeter,
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.send("\0binary");
      assert.equal(await caller.ended(), "reset");
      assert.equal(app.sockets.length, 0);
    },
    { protocol: "unknown", limits: FAST, policies: [READ_ITEMS] },
  ),
);

test(
  "HTTP on a port declared TCP does not pass a policy that denies HTTP alone; other bytes do",
  limits,
  () => {
    let seen = "";
    return withPlain(
      (socket) => socket.on("data", (chunk: Buffer) => (seen += chunk.toString("latin1"))),
      async ({ waypoint, service }) => {
        for (const text of [
          "GET /admin HTTP/1.1\r\n\r\n",
          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
          " get /admin HTTP/1.0\r\n",
        ]) {
          const caller = await waypoint.http(FRONTEND, service.address);
          caller.send(text);
          assert.equal(await caller.ended(), "reset", text);
        }
        const slow = await waypoint.http(FRONTEND, service.address);
        slow.send("GET");
        assert.equal(await slow.ended(), "reset");
        assert.equal(seen, "");
        const fine = await waypoint.http(FRONTEND, service.address);
        fine.send("QUIT\r\n");
        await eventually("the bytes", () => seen === "QUIT\r\n");
        const line = waypoint.access()[0];
        assert.equal(line?.["reason"], "http-on-tcp-port");
        assert.equal(line?.["policy"], "shop/no-admin");
      },
      { protocol: "tcp", limits: FAST, policies: [NO_ADMIN] },
    );
  },
);

test("a caller that waited until it passed as server-first does not get HTTP past a policy", limits, () => {
  let seen = "";
  return withPlain(
    (socket) => {
      socket.write("220\r\n");
      socket.on("data", (chunk: Buffer) => (seen += chunk.toString("latin1")));
    },
    async ({ waypoint, service }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      assert.equal(await caller.received(5), "220\r\n");
      caller.send("GET /admin HTTP/1.1\r\nhost: a\r\n\r\n");
      assert.equal(await caller.ended(), "reset");
      assert.equal(seen, "");
    },
    { protocol: "unknown", limits: FAST, policies: [NO_ADMIN] },
  );
});

test("undeclared HTTP is judged as HTTP, in one piece or byte by byte", limits, () =>
  withPlain(
    (socket) => socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")),
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      assert.equal((await caller.get("/admin")).status, 403);
      const slow = await waypoint.http(FRONTEND, service.address);
      for (const byte of "GET /admin HTTP/1.1\r\nhost: a\r\n\r\n") slow.send(byte);
      assert.equal((await slow.answer()).status, 403);
      assert.equal(app.sockets.length, 0);
      assert.equal((await slow.get("/items")).status, 200);
    },
    { protocol: "unknown", policies: [NO_ADMIN] },
  ),
);

test("TLS on a port declared HTTP is refused with that reason", limits, () =>
  withPlain(
    () => undefined,
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.send("\x16\x03\x01\x00\x05hello");
      assert.equal(await caller.ended(), "end");
      assert.equal(waypoint.access()[0]?.["reason"], "tls-on-http-port");
      assert.equal(app.sockets.length, 0);
    },
  ),
);

test("a caller that waits for the server on a port declared HTTP is refused with that reason", limits, () =>
  withPlain(
    greeter,
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      assert.equal(await caller.ended(), "end");
      assert.equal(waypoint.access()[0]?.["reason"], "no-request");
      assert.equal(app.sockets.length, 0);
    },
    { limits: FAST },
  ),
);

test("what is no HTTP on a port declared HTTP is told so", limits, () =>
  withPlain(
    () => undefined,
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.send("\0\0\0\x08binary\r\n\r\n");
      assert.equal((await caller.answer()).status, 400);
      assert.equal(await caller.ended(), "end");
      assert.equal(app.sockets.length, 0);
      assert.equal(waypoint.access()[0]?.["reason"], "bad-request");
    },
  ),
);

test("a caller that comes and goes without a word leaves nothing", limits, () =>
  withPlain(
    () => undefined,
    async ({ waypoint, service, app }) => {
      const caller = await waypoint.http(FRONTEND, service.address);
      caller.handle.shutdown();
      assert.equal(await caller.ended(), "end");
      assert.equal(app.sockets.length, 0);
      assert.deepEqual(waypoint.access(), []);
    },
  ),
);
