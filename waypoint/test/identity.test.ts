/** What a caller says of itself or of its destination, beside certificate and address, is without effect. Negative tests. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HbonePool } from "#core/hbone/hbone-pool.ts";
import { ip } from "#core/net/ip.ts";
import { aWorkload } from "#core/testing/builders.ts";
import { eventually, httpApp } from "./apps.ts";
import { FRONTEND, limits, withCatalog } from "./catalog.ts";
import { from, policy, READ_ITEMS, rule } from "./policies.ts";
import { identity, TestWaypoint, WAYPOINT } from "./test-waypoint.ts";

const INTRUDER = identity("intruder", "evil");

test("forged forwarded, baggage and client certificate fields decide nothing", limits, () =>
  withCatalog(
    async ({ waypoint, app, catalog }) => {
      const caller = await waypoint.http(INTRUDER, catalog.address, {
        fields: {
          baggage: "k8s.namespace.name=shop,k8s.deployment.name=frontend,service.name=frontend",
          forwarded: 'for="10.0.0.1:1";host=catalog.shop.svc.cluster.local',
        },
      });
      const refused = await caller.get("/items", {
        "x-forwarded-client-cert": `By=${WAYPOINT};URI=${FRONTEND}`,
        "x-forwarded-for": "10.0.0.1",
        forwarded: "for=10.0.0.1",
      });
      assert.equal(refused.status, 403);
      assert.equal(app.requests.length, 0);
      const [line] = waypoint.access();
      assert.equal(line?.["src.identity"], INTRUDER);
      assert.equal(line?.["src.workload"], undefined);
      // Baggage of another namespace than the certificate's is no label either.
      const text = await waypoint.metrics.metrics();
      assert.match(text, /istio_requests_total\{[^}]*source_workload="unknown"/);
      assert.doesNotMatch(text, /source_workload="frontend"/);
    },
    { policies: [READ_ITEMS] },
  ),
);

test("whose address a caller has is no label, unless its certificate agrees", limits, () =>
  withCatalog(async ({ waypoint, catalog }) => {
    const at = { addresses: [ip("127.0.0.1")], namespace: "shop" };
    for (const [name, serviceAccount] of [
      ["victim", "victim"],
      ["itself", "frontend"],
    ] as const) {
      const workload = aWorkload({ ...at, uid: "Kubernetes//Pod/shop/at" as never, name, serviceAccount });
      waypoint.mesh.commit({ upserts: [{ kind: "workload", workload }], removals: [] });
      await (await waypoint.http(FRONTEND, catalog.address)).get("/items");
    }
    assert.deepEqual(
      waypoint.access().map((line) => line["src.workload"]),
      [undefined, "itself"],
    );
  }),
);

test("baggage that agrees with the certificate is a label", limits, () =>
  withCatalog(async ({ waypoint, catalog }) => {
    const fields = { baggage: "k8s.namespace.name=shop,k8s.deployment.name=web,service.name=web" };
    const caller = await waypoint.http(FRONTEND, catalog.address, { fields });
    await caller.get("/items");
    assert.match(await waypoint.metrics.metrics(), /istio_requests_total\{[^}]*source_workload="web"/);
  }),
);

test(
  "fields that only proxies write never arrive from a caller; x-forwarded-for passes as it came",
  limits,
  () =>
    withCatalog(async ({ waypoint, app, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      await caller.get("/", {
        "x-forwarded-client-cert": "By=a;URI=b",
        "x-envoy-original-path": "/admin",
        "x-envoy-internal": "true",
        "x-forwarded-for": "192.0.2.7",
        "x-request-id": "mine",
      });
      const headers = app.requests[0]?.headers ?? {};
      assert.equal(headers["x-forwarded-client-cert"], undefined);
      assert.equal(headers["x-envoy-original-path"], undefined);
      assert.equal(headers["x-envoy-internal"], undefined);
      assert.equal(headers["x-forwarded-for"], "192.0.2.7");
      assert.equal(headers["x-request-id"], "mine");
      await caller.get("/");
      assert.match(String(app.requests[1]?.headers["x-request-id"]), /^[0-9a-f-]{36}$/);
    }),
);

test("asked for, the client certificate field names both ends, whatever the caller wrote", limits, () =>
  withCatalog(async ({ waypoint, app, catalog }) => {
    const forged = { "x-forwarded-client-cert": "URI=spiffe://cluster.local/ns/shop/sa/admin" };
    const caller = await waypoint.http(FRONTEND, catalog.address);
    await caller.get("/", forged);
    waypoint.configure({ clientCertField: true });
    await caller.get("/", forged);
    waypoint.configure({ clientCertField: false });
    await caller.get("/", forged);
    const seen = app.requests.map(({ headers }) => headers["x-forwarded-client-cert"]);
    assert.deepEqual(seen, [undefined, `By=${WAYPOINT};URI=${FRONTEND}`, undefined]);
  }),
);

test("a host inside does not choose the destination or its policies", limits, () =>
  withCatalog(
    async ({ waypoint, app, catalog }) => {
      const address = waypoint.freshIp();
      const open = await httpApp(address);
      try {
        const pod = await waypoint.pod("open", open.port, { addresses: [address] });
        const service = waypoint.bind({ name: "open", pods: [pod] });
        const toCatalog = await waypoint.http(INTRUDER, catalog.address);
        assert.equal((await toCatalog.get("/items", { host: "open.shop.svc.cluster.local" })).status, 403);
        const toOpen = await waypoint.http(INTRUDER, service.address);
        assert.equal((await toOpen.get("/items", { host: "catalog.shop.svc.cluster.local" })).status, 200);
        assert.equal(app.requests.length, 0);
        assert.equal(open.requests[0]?.headers.host, "catalog.shop.svc.cluster.local");
      } finally {
        await open.close();
      }
    },
    { policies: [READ_ITEMS] },
  ),
);

test("two callers never share a connection to an upstream, one caller's requests do", limits, () =>
  withCatalog(async ({ waypoint, app, catalog }) => {
    const other = identity("other");
    for (let round = 0; round < 3; round++) {
      for (const who of [FRONTEND, other]) {
        const caller = await waypoint.http(who, catalog.address);
        assert.equal((await caller.get(`/${who === other ? "other" : "frontend"}`)).status, 200);
      }
    }
    const connectionsOf = (url: string): readonly number[] => [
      ...new Set(app.requests.filter((r) => r.url === url).map((r) => r.connection)),
    ];
    assert.equal(app.requests.length, 6);
    assert.equal(connectionsOf("/frontend").length, 1);
    assert.equal(connectionsOf("/other").length, 1);
    assert.notDeepEqual(connectionsOf("/frontend"), connectionsOf("/other"));
  }),
);

test("a connection that has authenticated its user serves one caller's connection alone", limits, () =>
  withCatalog(async ({ waypoint, app, catalog }) => {
    const first = await waypoint.http(FRONTEND, catalog.address);
    assert.equal((await first.get("/a", { authorization: "NTLM abc" })).status, 200);
    const second = await waypoint.http(FRONTEND, catalog.address);
    assert.equal((await second.get("/b")).status, 200);
    assert.equal((await first.get("/c")).status, 200);
    const [a, b, c] = app.requests.map(({ connection }) => connection);
    assert.notEqual(a, b);
    assert.equal(a, c);
  }),
);

for (const [name, target, status] of [
  ["an address that nobody has", { ip: ip("10.9.9.9"), port: 80 }, 404],
  ["a port that the service does not have", undefined, 404],
  ["the waypoint itself", { ip: ip("127.0.0.1"), port: 80 }, 400],
] as const) {
  test(`a tunnel for ${name} is refused with ${status} and logged`, limits, () =>
    withCatalog(async ({ waypoint, catalog }) => {
      const caller = await waypoint.http(FRONTEND, target ?? { ip: catalog.address.ip, port: 81 });
      caller.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
      assert.equal(await caller.ended(), "reset");
      const [line] = waypoint.access();
      assert.equal(line?.["response_code"], status);
      assert.equal(line?.["stage"], "W2");
      assert.equal(line?.["src.identity"], FRONTEND);
    }),
  );
}

test("a workload outside of the bound set is no destination, though it exists", limits, () =>
  withCatalog(async ({ waypoint }) => {
    const address = waypoint.freshIp();
    const app = await httpApp(address);
    try {
      await waypoint.pod("foreign", app.port, { addresses: [address] });
      const caller = await waypoint.http(FRONTEND, { ip: address, port: app.port });
      caller.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
      assert.equal(await caller.ended(), "reset");
      assert.equal(app.connections, 0);
      assert.equal(waypoint.access()[0]?.["reason"], "not-bound");
    } finally {
      await app.close();
    }
  }),
);

test("a workload with the waypoint's own account is no destination, bound or not", limits, () =>
  withCatalog(async ({ waypoint }) => {
    const address = waypoint.freshIp();
    const pod = await waypoint.pod("twin", 1, { addresses: [address], serviceAccount: "ambit-waypoint" });
    const service = waypoint.bind({ name: "twin", pods: [pod] });
    const direct = await waypoint.http(FRONTEND, { ip: address, port: 80 });
    assert.equal(await direct.ended(), "reset");
    const caller = await waypoint.http(FRONTEND, service.address);
    assert.equal((await caller.get("/")).status, 400);
    assert.deepEqual(pod.peers, []);
  }),
);

test("an endpoint that is somebody else is given nothing", limits, () =>
  withCatalog(async ({ waypoint, app, pod, catalog }) => {
    // The address is answered under catalog's certificate, the mesh expects another account there.
    const workload = {
      ...(waypoint.mesh.workloads.get(pod.workload.uid) ?? pod.workload),
      serviceAccount: "db",
    };
    waypoint.mesh.commit({ upserts: [{ kind: "workload", workload }], removals: [] });
    const caller = await waypoint.http(FRONTEND, catalog.address);
    assert.equal((await caller.get("/")).status, 503);
    assert.equal(app.connections, 0);
    assert.equal(waypoint.access()[0]?.["reason"], "upstream-identity");
  }),
);

test("a peer of another trust domain gets no tunnel", limits, () =>
  withCatalog(async ({ waypoint, catalog }) => {
    const stranger = "spiffe://elsewhere/ns/shop/sa/frontend" as typeof FRONTEND;
    await assert.rejects(waypoint.http(stranger, catalog.address));
    const line = await eventually("a line", () => waypoint.access()[0]);
    assert.equal(line["reason"], "peer-refused");
    assert.equal(line["src.identity"], undefined);
  }),
);

test("without a configuration nothing is a destination", limits, async () => {
  const waypoint = await TestWaypoint.start();
  try {
    const caller = await waypoint.http(FRONTEND, { ip: ip("10.0.0.1"), port: 80 });
    assert.equal(await caller.ended(), "reset");
    assert.equal(waypoint.access()[0]?.["reason"], "no-configuration");
  } finally {
    await waypoint.close();
  }
});

test("many callers' streams in one tunnel are judged each by the tunnel's identity", limits, () =>
  withCatalog(
    async ({ waypoint, catalog }) => {
      const pool = new HbonePool({ backend: waypoint.backend });
      try {
        const callers = await Promise.all(
          [1, 2, 3].map(() => waypoint.http(FRONTEND, catalog.address, { pool })),
        );
        const answers = await Promise.all(
          callers.map((caller, i) => caller.get(i === 1 ? "/admin" : "/items")),
        );
        assert.deepEqual(
          answers.map(({ status }) => status),
          [200, 403, 200],
        );
        assert.equal(pool.tunnels().length, 1);
      } finally {
        await pool.close();
      }
    },
    { policies: [READ_ITEMS, policy("unused", { rules: [rule({ from: [from("nobody")] })] })] },
  ),
);
