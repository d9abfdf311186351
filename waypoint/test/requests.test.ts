/** Requests through the waypoint: who may do what, what arrives, what is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { policyKey } from "#core/model/ids.ts";
import type { OperationMatch, RequestPolicy, SourceMatch } from "#core/model/request-policy.ts";
import { httpApp, type TestApp } from "./apps.ts";
import { type BoundTestService, identity, NAMESPACE, TestWaypoint, type TestPod } from "./test-waypoint.ts";

const ANY = { any: [], none: [] };
const FRONTEND = identity("frontend");
const limits = { timeout: 30_000 };

export function operation(given: Partial<OperationMatch>): OperationMatch {
  return { hosts: ANY, methods: ANY, paths: ANY, ports: ANY, ...given };
}

export function from(account: string): SourceMatch {
  const value = identity(account).slice("spiffe://".length);
  return {
    principals: { any: [{ kind: "exact", value }], none: [] },
    namespaces: ANY,
    serviceAccounts: ANY,
    sourceIps: ANY,
  };
}

export function policy(name: string, given: Partial<RequestPolicy>): RequestPolicy {
  return { key: policyKey(NAMESPACE, name), action: "allow", dryRun: false, rules: [], ...given };
}

/** The policy of the demo: the frontend may only read items. */
const READ_ITEMS = policy("read-items", {
  rules: [
    {
      from: [from("frontend")],
      to: [
        operation({
          methods: { any: [{ kind: "exact", value: "GET" }], none: [] },
          paths: { any: [{ kind: "prefix", value: "/items" }], none: [] },
        }),
      ],
      when: [],
    },
  ],
});

interface Setting {
  readonly waypoint: TestWaypoint;
  readonly app: TestApp;
  readonly pod: TestPod;
  readonly catalog: BoundTestService;
}

async function withCatalog(
  work: (setting: Setting) => Promise<void>,
  policies: readonly RequestPolicy[] = [READ_ITEMS],
): Promise<void> {
  const waypoint = await TestWaypoint.start();
  const address = waypoint.freshIp();
  const app = await httpApp(address);
  try {
    const pod = await waypoint.pod("catalog", app.port, { addresses: [address] });
    const catalog = waypoint.bind({ name: "catalog", pods: [pod], policies });
    await work({ waypoint, app, pod, catalog });
    assert.deepEqual(waypoint.problems(), []);
  } finally {
    await waypoint.close();
    await app.close();
  }
}

test("an allowed request arrives, once, over a tunnel of the waypoint's own identity", limits, () =>
  withCatalog(async ({ waypoint, app, pod, catalog }) => {
    const caller = await waypoint.http(FRONTEND, catalog.address);
    const answer = await caller.get("/items?page=2");
    assert.equal(answer.status, 200);
    assert.equal(answer.body, "GET /items?page=2");
    assert.equal(app.requests.length, 1);
    assert.equal(app.requests[0]?.headers.host, "catalog");
    assert.deepEqual(pod.peers, [identity("ambit-waypoint")]);
    const [line] = waypoint.access();
    assert.equal(waypoint.access().length, 1);
    assert.equal(line?.["method"], "GET");
    assert.equal(line?.["path"], "/items");
    assert.equal(line?.["response_code"], 200);
    assert.equal(line?.["response_flags"], "-");
    assert.equal(line?.["src.identity"], FRONTEND);
    assert.equal(line?.["dst.workload"], "catalog");
    assert.equal(line?.["policy"], "shop/read-items");
    assert.equal(line?.["rule"], 0);
  }),
);

test("a refused request never arrives, and the caller is told as Istio tells it", limits, () =>
  withCatalog(async ({ waypoint, app, catalog }) => {
    const caller = await waypoint.http(FRONTEND, catalog.address);
    const refused = await caller.request("POST", "/items", {}, "x=1");
    assert.equal(refused.status, 403);
    assert.equal(refused.body, "RBAC: access denied");
    assert.equal(refused.fields["content-type"], "text/plain");
    // The connection lives on: the next request is judged by itself.
    assert.equal((await caller.get("/items")).status, 200);
    assert.deepEqual(
      app.requests.map(({ method }) => method),
      ["GET"],
    );
    const line = waypoint.access()[0];
    assert.equal(line?.["response_code"], 403);
    assert.equal(line?.["reason"], "no-allow-matched");
    assert.equal(line?.["stage"], "W3");
    assert.equal(line?.["src.identity"], FRONTEND);
  }),
);
