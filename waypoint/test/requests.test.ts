/** Requests through the waypoint: who may do what, what arrives, what is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { httpApp } from "./apps.ts";
import { FRONTEND, limits, withCatalog } from "./catalog.ts";
import { NO_ADMIN, READ_ITEMS, from, operation, policy, rule } from "./policies.ts";
import { identity, WAYPOINT } from "./test-waypoint.ts";

test("a refused request never arrives, and the caller is told as Istio tells it", limits, () =>
  withCatalog(
    async ({ waypoint, app, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      const refused = await caller.request("POST", "/items", {}, "x=1");
      assert.equal(refused.status, 403);
      assert.equal(refused.body, "RBAC: access denied");
      assert.equal(refused.fields["content-type"], "text/plain");
      // The connection lives on: the next request is judged by itself.
      assert.equal((await caller.get("/items")).status, 200);
      assert.equal((await caller.get("/other")).status, 403);
      assert.deepEqual(
        app.requests.map(({ method, url }) => `${method} ${url}`),
        ["GET /items"],
      );
      const [line] = waypoint.access();
      assert.equal(line?.["response_code"], 403);
      assert.equal(line?.["method"], "POST");
      assert.equal(line?.["path"], "/items");
      assert.equal(line?.["reason"], "no-allow-matched");
      assert.equal(line?.["stage"], "W3");
      assert.equal(line?.["src.identity"], FRONTEND);
      assert.match(String(line?.["explanation"]), /shop\/read-items \(rule 0\), which differs in method/);
    },
    { policies: [READ_ITEMS] },
  ),
);

test("another identity is refused by the same policy", limits, () =>
  withCatalog(
    async ({ waypoint, app, catalog }) => {
      const caller = await waypoint.http(identity("intruder"), catalog.address);
      assert.equal((await caller.get("/items")).status, 403);
      assert.equal(app.requests.length, 0);
    },
    { policies: [READ_ITEMS] },
  ),
);

test("an allowed request arrives, once, over a tunnel of the waypoint's own identity", limits, () =>
  withCatalog(
    async ({ waypoint, app, pod, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      const answer = await caller.get("/items?page=2");
      assert.equal(answer.status, 200);
      assert.equal(answer.body, "GET /items?page=2");
      assert.equal(app.requests.length, 1);
      assert.equal(app.requests[0]?.headers.host, "catalog");
      assert.deepEqual(pod.peers, [WAYPOINT]);
      assert.equal(waypoint.access().length, 1);
      const [line] = waypoint.access();
      assert.equal(line?.["method"], "GET");
      // A query may hold secrets.
      assert.equal(line?.["path"], "/items");
      assert.equal(line?.["protocol"], "HTTP/1.1");
      assert.equal(line?.["response_code"], 200);
      assert.equal(line?.["response_flags"], "-");
      assert.equal(line?.["src.identity"], FRONTEND);
      assert.equal(line?.["dst.workload"], "catalog");
      assert.equal(line?.["dst.service"], "catalog.shop.svc.cluster.local");
      assert.equal(line?.["policy"], "shop/read-items");
      assert.equal(line?.["rule"], 0);
    },
    { policies: [READ_ITEMS] },
  ),
);

test("the path that policy sees is the path that arrives", limits, () =>
  withCatalog(
    async ({ waypoint, app, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      for (const hidden of ["/items/../admin", "/items/%2e%2e/admin", "/items\\..\\admin", "/%61dmin"]) {
        assert.equal((await caller.get(hidden)).status, 403, hidden);
      }
      assert.equal((await caller.get("/x/./items%3Ba/%7Euser?a=%2e")).status, 200);
      assert.deepEqual(
        app.requests.map(({ url }) => url),
        ["/x/items%3Ba/~user?a=%2e"],
      );
    },
    { policies: [NO_ADMIN] },
  ),
);

for (const [name, path] of [
  ["NUL", "/a%00b"],
  ["an escape that is none", "/a%zz"],
] as const) {
  test(`a path with ${name} is refused with 400 and arrives nowhere`, limits, () =>
    withCatalog(async ({ waypoint, app, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      assert.equal((await caller.get(`${path}?token=secret`)).status, 400);
      assert.equal(app.requests.length, 0);
      assert.equal(waypoint.access()[0]?.["reason"], "bad-path");
      assert.doesNotMatch(JSON.stringify(waypoint.access()), /secret/, "a query is never logged");
    }),
  );
}

test("a head that breaks the rules is answered, logged, and arrives nowhere", limits, () =>
  withCatalog(async ({ waypoint, app, catalog }) => {
    const caller = await waypoint.http(FRONTEND, catalog.address);
    caller.send("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    assert.equal((await caller.answer()).status, 400);
    assert.equal(await caller.ended(), "end");
    assert.equal(app.requests.length, 0);
    const [line] = waypoint.access();
    assert.equal(line?.["response_code"], 400);
    assert.equal(line?.["response_flags"], "DPE");
    assert.equal(line?.["reason"], "bad-request");
    assert.equal(line?.["src.identity"], FRONTEND);
  }),
);

test("a head that is too large: 431, counted, and the log has Envoy's words for it", limits, () =>
  withCatalog(async ({ waypoint, app, catalog }) => {
    const caller = await waypoint.http(FRONTEND, catalog.address);
    assert.equal((await caller.get("/items", { "x-large": "a".repeat(70_000) })).status, 431);
    assert.equal(app.requests.length, 0);
    const [line] = waypoint.access();
    assert.deepEqual(
      [line?.["response_code"], line?.["response_flags"], line?.["response_code_details"], line?.["reason"]],
      [431, "DPE", "headers_too_large", "bad-request"],
    );
    const text = await waypoint.metrics.metrics();
    assert.match(text, /istio_requests_total\{[^}]*response_code="431",response_flags="DPE"[^}]*\} 1/);
    assert.match(text, /ambit_refused_heads_total 1/);
  }),
);

test("a log line has each key once, whatever the caller repeats", limits, () =>
  withCatalog(async ({ waypoint, catalog }) => {
    const caller = await waypoint.http(FRONTEND, catalog.address);
    const twice = "user-agent: a\r\nuser-agent: b\r\nx-forwarded-for: 1\r\nx-forwarded-for: 2\r\n";
    caller.send(`GET / HTTP/1.1\r\nhost: c\r\n${twice}\r\n`);
    assert.equal((await caller.answer()).status, 200);
    const [line] = waypoint.access();
    // Of a key that is there twice a reader takes the last.
    assert.deepEqual([line?.["user_agent"], line?.["x_forwarded_for"]], ["a", "1,2"]);
  }),
);

test("a field that a policy reads cannot be imitated", limits, () =>
  withCatalog(
    async ({ waypoint, app, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      assert.equal((await caller.get("/", { "x-team": "red" })).status, 403);
      assert.equal((await caller.get("/", { "x-team": "blue" })).status, 200);
      assert.equal((await caller.get("/", { "x-team": "blue", x_team: "red" })).status, 400);
      assert.equal(app.requests.length, 1);
    },
    {
      policies: [
        policy("no-red", {
          action: "deny",
          rules: [
            rule({
              when: [
                {
                  kind: "header",
                  name: "x-team",
                  values: { any: [{ kind: "exact", value: "red" }], none: [] },
                },
              ],
            }),
          ],
        }),
      ],
    },
  ),
);

test("policies of the endpoint are asked besides those of the service", limits, () =>
  withCatalog(
    async ({ waypoint, app, pod, catalog }) => {
      const own = policy("own", { action: "deny", rules: [rule({ from: [from("frontend")] })] });
      waypoint.configure({
        policies: [...(waypoint.config.get()?.policies ?? []), own],
        workloads: [{ workload: pod.workload.uid, policies: [own.key] }],
      });
      const caller = await waypoint.http(FRONTEND, catalog.address);
      assert.equal((await caller.get("/items")).status, 403);
      assert.equal(app.requests.length, 0);
      assert.equal(waypoint.access()[0]?.["policy"], "shop/own");
      const other = await waypoint.http(identity("other"), catalog.address);
      assert.equal((await other.get("/items")).status, 200);
    },
    { policies: [] },
  ),
);

test("by its own address a workload is under the policies of its services too", limits, () =>
  withCatalog(
    async ({ waypoint, app, pod, catalog }) => {
      const caller = await waypoint.http(FRONTEND, { ip: pod.address, port: app.port });
      assert.equal((await caller.get("/items")).status, 200);
      assert.equal((await caller.get("/admin")).status, 403);
      assert.equal(app.requests.length, 1);
      assert.notEqual(catalog.address.ip, pod.address);
    },
    { policies: [NO_ADMIN] },
  ),
);

test(
  "ports in a policy of a service are the service's, whichever way its workload is dialled",
  limits,
  () => {
    const noEighty = policy("no-eighty", {
      action: "deny",
      rules: [rule({ to: [operation({ ports: { any: [80], none: [] } })] })],
    });
    return withCatalog(
      async ({ waypoint, app, pod, catalog }) => {
        for (const target of [catalog.address, { ip: pod.address, port: app.port }])
          assert.equal((await (await waypoint.http(FRONTEND, target)).get("/items")).status, 403);
        assert.equal(app.requests.length, 0);
      },
      { policies: [noEighty] },
    );
  },
);

test("a policy that is named and not there refuses everything", limits, () =>
  withCatalog(async ({ waypoint, app, pod, catalog }) => {
    waypoint.configure({ workloads: [{ workload: pod.workload.uid, policies: [READ_ITEMS.key] }] });
    const caller = await waypoint.http(FRONTEND, catalog.address);
    assert.equal((await caller.get("/items")).status, 403);
    assert.equal(app.requests.length, 0);
    assert.equal(waypoint.access()[0]?.["reason"], "policy-missing");
  }),
);

test("an enrolled endpoint that the configuration does not know gets nothing", limits, () =>
  withCatalog(async ({ waypoint, app, catalog }) => {
    waypoint.configure({ workloads: [] });
    const caller = await waypoint.http(FRONTEND, catalog.address);
    const answer = await caller.get("/items");
    assert.equal(answer.status, 503);
    assert.equal(answer.body, "no healthy upstream");
    assert.equal(app.requests.length, 0);
    assert.equal(waypoint.access()[0]?.["response_flags"], "UH");
  }),
);

test("a policy in dry run decides nothing and is told", limits, () =>
  withCatalog(
    async ({ waypoint, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      assert.equal((await caller.get("/admin")).status, 200);
      assert.equal(waypoint.access()[0]?.["dry_run"], "shop/no-admin:deny");
    },
    { policies: [{ ...NO_ADMIN, dryRun: true }] },
  ),
);

test("AUDIT decides nothing and is told, of what is refused too", limits, () =>
  withCatalog(
    async ({ waypoint, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      assert.equal((await caller.get("/items")).status, 200);
      assert.equal((await caller.get("/admin")).status, 403);
      const [allowed, refused] = waypoint.access();
      assert.deepEqual([allowed?.["audit"], allowed?.["policy"]], [undefined, "shop/read-items"]);
      assert.equal(refused?.["audit"], "shop/watch-admin rule 0");
    },
    {
      policies: [READ_ITEMS, policy("watch-admin", { action: "audit", rules: NO_ADMIN.rules })],
    },
  ),
);

test("a service on the same pods is no way around: HTTP wins where one calls the port TCP", limits, () =>
  withCatalog(
    async ({ waypoint, app, pod }) => {
      const raw = waypoint.bind({
        name: "raw",
        port: 99,
        protocol: "tcp",
        pods: [pod],
        policies: [NO_ADMIN],
      });
      const caller = await waypoint.http(FRONTEND, raw.address);
      assert.equal((await caller.get("/admin")).status, 403);
      assert.equal((await caller.get("/items")).status, 200);
      assert.equal(app.requests.length, 1);
    },
    { policies: [NO_ADMIN] },
  ),
);

test("metrics count every request under Istio's labels", limits, () =>
  withCatalog(
    async ({ waypoint, catalog }) => {
      const caller = await waypoint.http(FRONTEND, catalog.address);
      await caller.get("/items");
      await caller.get("/items");
      await caller.request("POST", "/items", {}, "hello");
      const text = await waypoint.metrics.metrics();
      const lines = text.split("\n").filter((line) => line.startsWith("istio_requests_total{"));
      assert.equal(lines.length, 2, text);
      const ok = lines.find((line) => line.includes('response_code="200"')) ?? "";
      assert.match(ok, / 2$/);
      assert.match(ok, /reporter="waypoint"/);
      assert.match(ok, /source_principal="spiffe:\/\/cluster\.local\/ns\/shop\/sa\/frontend"/);
      assert.match(ok, /destination_service="catalog\.shop\.svc\.cluster\.local"/);
      assert.match(ok, /destination_workload_namespace="shop"/);
      assert.match(ok, /request_protocol="http"/);
      assert.match(ok, /response_flags="-"/);
      assert.match(ok, /connection_security_policy="mutual_tls"/);
      assert.match(lines.find((line) => line.includes('response_code="403"')) ?? "", / 1$/);
      assert.match(text, /istio_request_duration_milliseconds_count\{[^}]*response_code="200"[^}]*\} 2/);
      assert.match(text, /istio_response_bytes_sum\{[^}]*response_code="200"[^}]*\} 20/);
    },
    { policies: [READ_ITEMS] },
  ),
);

test("endpoints without a tunnel are reached as TCP", limits, () =>
  withCatalog(async ({ waypoint }) => {
    const address = waypoint.freshIp();
    const app = await httpApp(address);
    try {
      const pod = await waypoint.pod("legacy", app.port, { addresses: [address], tunnelProtocol: "none" });
      const service = waypoint.bind({ name: "legacy", pods: [pod] });
      const caller = await waypoint.http(FRONTEND, service.address);
      assert.equal((await caller.get("/x")).status, 200);
      assert.deepEqual(pod.peers, []);
    } finally {
      await app.close();
    }
  }),
);
