/** Whoever reaches the waypoint's port and does not speak as a ztunnel does: refused, counted, and nobody else is kept out. */
import assert from "node:assert/strict";
import { connect as connectHttp2, type ClientHttp2Session, constants } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import { HbonePool } from "#core/hbone/hbone-pool.ts";
import { eventually } from "./apps.ts";
import { FRONTEND, limits, withCatalog } from "./catalog.ts";
import { NO_ADMIN } from "./policies.ts";
import type { TestWaypoint } from "./test-waypoint.ts";

async function count(waypoint: TestWaypoint, name: string): Promise<number> {
  const text = await waypoint.metrics.metrics();
  const line = text.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? Number.NaN);
}

async function untilCounted(waypoint: TestWaypoint, name: string, wanted: number): Promise<void> {
  for (let i = 0; i < 1_000; i++) {
    if ((await count(waypoint, name)) === wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(await count(waypoint, name), wanted, name);
}

/** HTTP/2 to the waypoint under the frontend's certificate, by somebody else's implementation. */
function session(waypoint: TestWaypoint, t: TestContext): ClientHttp2Session {
  const { chainPem, keyPem } = waypoint.ca.issueNow(FRONTEND);
  const { port } = waypoint.server;
  const client = connectHttp2("https://waypoint", {
    createConnection: () =>
      connectTls({
        host: "127.0.0.1",
        port,
        ALPNProtocols: ["h2"],
        cert: chainPem,
        key: keyPem,
        ca: waypoint.ca.rootPem,
        checkServerIdentity: () => undefined,
      }),
  });
  client.on("error", () => undefined);
  t.after(() => client.destroy());
  return client;
}

function ask(client: ClientHttp2Session, fields: Readonly<Record<string, string>>): Promise<unknown> {
  return new Promise((resolve) => {
    const stream = client.request(fields);
    stream.on("response", (head) => {
      resolve(head[":status"]);
      stream.close();
    });
    stream.on("error", () => undefined);
    stream.on("close", () => resolve(`reset ${stream.rstCode}`));
  });
}

function silent(waypoint: TestWaypoint, t: TestContext): Socket & { gone?: boolean } {
  const socket: Socket & { gone?: boolean } = connectTcp({ host: "127.0.0.1", port: waypoint.server.port });
  socket.on("error", () => undefined);
  socket.on("close", () => (socket.gone = true));
  t.after(() => socket.destroy());
  return socket;
}

test(
  "a CONNECT for anything but one address or name with a port is refused with 400 and counted",
  limits,
  (t) =>
    withCatalog(async ({ waypoint, app, catalog }) => {
      const client = session(waypoint, t);
      const { ip } = catalog.address;
      const authorities = [
        ip,
        `${ip}:`,
        `${ip}:0`,
        `${ip}:65536`,
        `${ip}:-1`,
        `${ip}:80/items`,
        ` ${ip}:80`,
        `user@${ip}:80`,
        ":80",
        "80",
        `[${ip}]:80`,
        "[fe80::1%eth0]:80",
        "catalog.shop.svc.cluster.local",
        "catalog.shop.svc.cluster.local.:80",
        "cat alog:80",
        `${"a".repeat(254)}:80`,
      ];
      for (const authority of authorities) {
        const answer = await ask(client, { ":method": "CONNECT", ":authority": authority });
        // A blank at an end breaks the form of HTTP/2 itself.
        const expected = authority.startsWith(" ") ? `reset ${constants.NGHTTP2_PROTOCOL_ERROR}` : 400;
        assert.equal(answer, expected, authority);
      }
      assert.equal(await ask(client, { ":method": "GET", ":path": "/items", ":authority": "catalog" }), 400);
      assert.equal(await count(waypoint, "ambit_tunnel_violations_total"), authorities.length + 1);
      assert.equal(app.connections, 0);
      // The tunnel lives on, and without baggage or anything else that labels.
      assert.equal(await ask(client, { ":method": "CONNECT", ":authority": `${ip}:80` }), 200);
    }),
);

test("what is no destination is refused and counted by its reason", limits, (t) =>
  withCatalog(async ({ waypoint, app }) => {
    const client = session(waypoint, t);
    const asks: readonly (readonly [string, number])[] = [
      ["169.254.169.254:80", 404],
      ["0.0.0.0:80", 404],
      ["[::1]:80", 404],
      ["localhost:15000", 404],
      ["CATALOG.shop.svc.cluster.local:80", 404],
      ["127.0.0.1:15000", 400],
      ["[::ffff:127.0.0.1]:15000", 400],
    ];
    for (const [authority, status] of asks)
      assert.equal(await ask(client, { ":method": "CONNECT", ":authority": authority }), status, authority);
    const text = await waypoint.metrics.metrics();
    assert.match(text, /^ambit_connects_refused_total\{reason="not-bound"\} 5$/m);
    assert.match(text, /^ambit_connects_refused_total\{reason="itself"\} 2$/m);
    assert.equal(app.connections, 0);
  }),
);

test("plaintext, and TLS without a certificate, get no tunnel and are counted", limits, (t) =>
  withCatalog(async ({ waypoint, app }) => {
    const plain = silent(waypoint, t);
    plain.write("GET /items HTTP/1.1\r\nhost: catalog\r\n\r\n");
    await eventually("plaintext is cut off", () => plain.gone);
    const tls = connectTls({
      host: "127.0.0.1",
      port: waypoint.server.port,
      ALPNProtocols: ["h2"],
      rejectUnauthorized: false,
    });
    tls.on("error", () => undefined);
    t.after(() => tls.destroy());
    await untilCounted(waypoint, "ambit_tunnels_refused_total", 2);
    assert.deepEqual(
      waypoint.access().map((line) => line["reason"]),
      ["peer-refused", "peer-refused"],
    );
    assert.equal(app.connections, 0);
  }),
);

test("one source's silent handshakes are bounded and counted", limits, (t) =>
  withCatalog(
    async ({ waypoint }) => {
      const sockets = Array.from({ length: 8 }, () => silent(waypoint, t));
      await untilCounted(waypoint, "ambit_handshakes_refused_total", 5);
      await eventually("five are reset", () => sockets.filter(({ gone }) => gone === true).length === 5);
    },
    { limits: { handshakes: { perPod: 64, perSource: 3 } } },
  ),
);

test("one source gets half of the tunnels, and room again when one of its own ends", limits, () =>
  withCatalog(
    async ({ waypoint, catalog }) => {
      const pools = Array.from({ length: 4 }, () => new HbonePool({ backend: waypoint.backend }));
      const [first, second, third, fourth] = pools;
      try {
        for (const pool of [first, second])
          if (pool !== undefined) await waypoint.tunnel(FRONTEND, catalog.address, { pool });
        const refused = waypoint.tunnel(
          FRONTEND,
          catalog.address,
          third === undefined ? {} : { pool: third },
        );
        await assert.rejects(refused);
        assert.ok((await count(waypoint, "ambit_tunnels_over_limit_total")) >= 1);
        await first?.close();
        let isIn = false;
        for (let i = 0; i < 200 && !isIn; i++) {
          isIn = await waypoint
            .tunnel(FRONTEND, catalog.address, fourth === undefined ? {} : { pool: fourth })
            .then(
              () => true,
              () => false,
            );
        }
        assert.ok(isIn, "there is room again");
      } finally {
        await Promise.all(pools.map((pool) => pool.close()));
      }
    },
    { limits: { maxTunnels: 4 } },
  ),
);

test("refused heads are counted, refused requests are not among them", limits, () =>
  withCatalog(
    async ({ waypoint, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      assert.equal((await caller.get("/admin")).status, 403);
      caller.send(
        "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n0\r\n\r\n",
      );
      assert.equal((await caller.answer()).status, 400);
      assert.equal(await count(waypoint, "ambit_refused_heads_total"), 1);
    },
    { policies: [NO_ADMIN] },
  ),
);
