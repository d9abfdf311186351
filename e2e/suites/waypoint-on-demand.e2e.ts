/**
 * An HTTP policy is all a user writes: the waypoint comes with it, judges requests, follows its changes and goes with it,
 * under load and without a failure.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { jsonList, type JsonObject, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { ONLY_THROUGH_WAYPOINT } from "#core/model/waypoint.ts";
import { everybodyForbidden, forbidden, underAttack, visitors } from "../framework/attack.ts";
import { eventually } from "../framework/eventually.ts";
import type { DbStats } from "../framework/db-stats.ts";
import { ITEMS_POLICY } from "../framework/l7-policies.ts";
import {
  accessLog,
  ArrivalWatch,
  asked,
  dbStats,
  expectDatabaseUntouched,
  type L7Shop,
  openL7Shop,
  REFUSED,
  removeYaml,
  theWaypoint,
} from "../framework/l7-shop.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { applyYaml, runPod } from "../framework/pods.ts";
import { say } from "../framework/say.ts";
import { withHands } from "../framework/shop.ts";
import { killController } from "../framework/stage-kills.ts";
import {
  AUTOMATIC,
  bindingStages,
  gatewaysOf,
  policyCondition,
  untilEnforced,
  untilGone,
  waypointPodsOf,
} from "../framework/waypoints.ts";
import { everyZtunnel } from "../framework/ztunnel-state.ts";

let mesh: Mesh;
let shop: L7Shop;
let arrivals: ArrivalWatch;
let database: DbStats;

before(async () => {
  mesh = await meshUp({ env: { "ambit-controller": { AMBIT_WAYPOINT_GRACE: "5s" } } });
  shop = await openL7Shop(mesh);
  arrivals = new ArrivalWatch(mesh, shop.catalog);
  database = await dbStats(shop);
});
after(() => mesh?.down());

test("without an HTTP policy there is no waypoint, whatever L4 policies there are", async () => {
  assert.deepEqual(await gatewaysOf(mesh.client, "shop"), []);
  assert.equal(
    (await asked(shop.visitor, "/items")).status,
    0,
    "the L4 policy is enforced at the connection",
  );
});

test("an HTTP policy under load: a waypoint appears, nothing fails, and Enforced is told when it holds", async () => {
  await shop.load.begin();
  await applyYaml(mesh.client, ITEMS_POLICY);
  say(`Enforced after ${(await untilEnforced(mesh.client, "shop", "items")).toFixed(1)} s`);
  arrivals.begin();
  const refused = await asked(shop.frontend, "/items", { method: "POST" });
  assert.deepEqual(refused, REFUSED, "enforced from the moment on at which it says so");
  await shop.load.expectNoFailure("waypoint created", { mayRetry: true });
  await arrivals.expectEvaluated(await theWaypoint(mesh));
});

test("the Gateway says which policy and field made it necessary", async () => {
  const gateway = (await gatewaysOf(mesh.client, "shop")).find(({ name }) => name === AUTOMATIC);
  assert.equal(gateway?.className, "istio-waypoint");
  const messages = gateway.conditions.map(({ message }) => message).join("\n");
  assert.match(messages, /shop\/items.*rules\[0\]\.to\[0\]\.operation\.(methods|paths)/);
});

test("methods and paths are enforced, and one line tells who asked what, and which rule decided", async () => {
  assert.equal((await asked(shop.frontend, "/items/1")).status, 200);
  for (const [method, path] of [
    ["POST", "/items"],
    ["GET", "/"],
    ["GET", "/Items"],
    ["GET", "/x/../secret"],
  ] as const)
    assert.deepEqual(await asked(shop.frontend, path, { method }), REFUSED, `${method} ${path}`);
  const waypoint = await theWaypoint(mesh);
  const line = await eventually("its line", () =>
    accessLog(mesh, waypoint).findLast((l) => l["path"] === "/items/1"),
  );
  const { method, response_code, policy, rule } = line as Record<string, unknown>;
  assert.deepEqual(
    { method, response_code, policy, rule, identity: line["src.identity"] },
    {
      method: "GET",
      response_code: 200,
      policy: "shop/items",
      rule: 0,
      identity: "spiffe://cluster.local/ns/shop/sa/frontend",
    },
  );
  assert.equal(accessLog(mesh, waypoint).filter((l) => l["path"] === "/items/1").length, 1, "one line");
});

test("an older L4 policy on the same workload keeps its meaning, under the caller's own identity", async () => {
  assert.deepEqual(await asked(shop.visitor, "/items"), REFUSED);
  const waypoint = await theWaypoint(mesh);
  const line = await eventually("its line", () =>
    accessLog(mesh, waypoint).findLast((l) => String(l["src.identity"]).endsWith("/sa/default")),
  );
  assert.equal(line["policy"], "shop/no-visitors");
});

test("the server-first database is untouched: same session, direct connections, no failure", () =>
  expectDatabaseUntouched(shop, database));

test("a changed policy is in force when it is said to be, and nothing allowed fails meanwhile", async () => {
  await shop.load.begin();
  const widened = ITEMS_POLICY.replace(
    'paths: ["/items*"]',
    'paths: ["/items*"] } }, { operation: { methods: [POST], paths: ["/items/{*}"]',
  );
  await applyYaml(mesh.client, widened);
  await untilEnforced(mesh.client, "shop", "items");
  assert.equal((await asked(shop.frontend, "/items/1", { method: "POST" })).status, 200);
  assert.deepEqual(await asked(shop.frontend, "/items", { method: "POST" }), REFUSED);
  await applyYaml(mesh.client, ITEMS_POLICY);
  await untilEnforced(mesh.client, "shop", "items");
  assert.deepEqual(await asked(shop.frontend, "/items/1", { method: "POST" }), REFUSED);
  await shop.load.expectNoFailure("policy updated twice", { mayRetry: false });
});

test("a second HTTP policy joins the waypoint that is there", async () => {
  const second = ITEMS_POLICY.replace("name: items,", "name: writers,").replace(
    "methods: [GET]",
    "methods: [PUT]",
  );
  await shop.load.begin();
  await applyYaml(mesh.client, second);
  await untilEnforced(mesh.client, "shop", "writers");
  assert.equal((await asked(shop.frontend, "/items/2", { method: "PUT" })).status, 200);
  assert.equal((await gatewaysOf(mesh.client, "shop")).length, 1);
  await removeYaml(mesh, second);
  await eventually("PUT is refused again", async () =>
    (await asked(shop.frontend, "/items/2", { method: "PUT" })).status === 403 ? true : undefined,
  );
  await shop.load.expectNoFailure("a second policy came and went", { mayRetry: true });
});

test("the policy deleted under load: its requests are allowed again, the waypoint drains and goes, nothing fails", async () => {
  await shop.load.begin();
  await removeYaml(mesh, ITEMS_POLICY);
  await eventually("POST is allowed again", async () =>
    (await asked(shop.frontend, "/items", { method: "POST" })).status === 200 ? true : undefined,
  );
  await untilGone(mesh.client, "shop", AUTOMATIC);
  await shop.load.expectNoFailure("waypoint removed", { mayRetry: true });
  await expectDatabaseUntouched(shop, database);
  const visitor = await asked(shop.visitor, "/items");
  assert.equal(visitor.status, 0, "the older L4 policy refuses at the connection again");
});

test("an L4 policy says that it needs no waypoint", async () => {
  const condition = await policyCondition(mesh.client, {
    namespace: "shop",
    name: "no-visitors",
    type: "ZtunnelAccepted",
  });
  assert.equal(condition?.status, "True");
  assert.deepEqual(await gatewaysOf(mesh.client, "shop"), []);
});

const IMMEDIATELY = ITEMS_POLICY.replace(
  "namespace: shop }",
  "namespace: shop, annotations: { ambit.io/enforce: immediately } }",
);

test("immediately, without a waypoint yet: from the moment on at which ztunnels know nothing forbidden arrives, and what is allowed waits", async () => {
  assert.notEqual(IMMEDIATELY, ITEMS_POLICY);
  // Not the frontend itself: more of its load comes in a few seconds than may wait.
  const quiet = { namespace: "shop", name: "quiet", node: "n1", serviceAccount: "frontend" };
  const caller = await withHands(mesh, await runPod(mesh.client, quiet));
  assert.equal((await asked(caller, "/items/7704")).status, 200);
  const began = performance.now();
  await applyYaml(mesh.client, IMMEDIATELY);
  await everyZtunnel(mesh, "the catalog is closed and bound", (dump) =>
    jsonList(dump["workloads"]).map(jsonObject).some(isClosed),
  );
  let tookMs = 0;
  const allowed = everyTime(10, () => asked(caller, "/items/7704"));
  await underAttack({ shop, arrivals }, everybodyForbidden(shop), async () => {
    const pods = await waypointPodsOf(mesh.client, "shop", AUTOMATIC);
    assert.ok(
      pods.every(({ ready }) => !ready),
      "the waypoint is there already: this proves nothing",
    );
    await untilEnforced(mesh.client, "shop", "items");
    tookMs = performance.now() - began;
    say(`immediately: Enforced after ${(tookMs / 1_000).toFixed(1)} s`);
  });
  const statuses = await allowed.stop();
  say(
    `immediately: ${statuses.length} allowed requests, ${statuses.filter((status) => status !== 200).length} refused`,
  );
  // Callers wait for 10 s: where no waypoint starts in that time they are refused, as is said.
  if (tookMs < 9_000) assert.deepEqual([...new Set(statuses)], [200]);
});

/** `count` at a time, one after the other, until told to stop; then the statuses of all. */
function everyTime(
  count: number,
  one: () => Promise<{ readonly status: number }>,
): { readonly stop: () => Promise<readonly number[]> } {
  const over = new AbortController();
  const statuses: number[] = [];
  const again = async (): Promise<void> => {
    while (!over.signal.aborted) statuses.push((await one()).status);
  };
  const running = Promise.all(Array.from({ length: count }, again));
  return {
    stop: async () => {
      over.abort();
      await running;
      return statuses;
    },
  };
}

function isClosed({ name, waypoint, authorizationPolicies }: JsonObject): boolean {
  const closes = jsonList(authorizationPolicies).some((policy) =>
    jsonText(policy).includes(ONLY_THROUGH_WAYPOINT),
  );
  return jsonText(name).startsWith("catalog") && waypoint !== undefined && waypoint !== null && closes;
}

test("a policy about connections becomes one about requests while the controller restarts: whom it refused stays refused", async () => {
  const aboutConnections = ITEMS_POLICY.replace(/\n *to: .*\n/, "\n");
  assert.notEqual(aboutConnections, ITEMS_POLICY);
  await applyYaml(mesh.client, aboutConnections);
  await eventually("ztunnels enforce it alone", async () =>
    (await bindingStages(mesh.client, "shop", AUTOMATIC)).join() === "resting" ? true : undefined,
  );
  assert.equal((await asked(shop.frontend, "/items", { method: "POST" })).status, 200);
  const refused = [() => asked(shop.intruder, forbidden(1), { host: shop.catalog.ipv4 }), ...visitors(shop)];
  await underAttack({ shop, arrivals }, refused, async () => {
    await killController(mesh);
    await applyYaml(mesh.client, ITEMS_POLICY);
    await untilEnforced(mesh.client, "shop", "items");
  });
  assert.deepEqual(await asked(shop.frontend, "/items", { method: "POST" }), REFUSED);
});
