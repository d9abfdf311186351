/** Waypoints on demand in a whole controller: orders as proxies see them, and what holds when something is missing, foreign or restarted. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import { TYPE_URL_WAYPOINT } from "#core/model/waypoint.ts";
import { decodeAddress } from "#core/wire/address-codec.ts";
import type { XdsUpdate } from "#core/xds/delta-client.ts";
import {
  applyItems,
  boundShop,
  conditionOf,
  enforced,
  ITEMS,
  kept,
  letters,
  nextController,
  stages,
  stopAll,
  withWaypoint,
} from "./bound-shop.ts";
import { eventually, type Harness, policy, ROOTS } from "./harness.ts";
import {
  CATALOG,
  connectObserver,
  connectWaypoint,
  connectZtunnel,
  DEPLOYMENTS,
  endDeployment,
  GATEWAYS,
  orphanPod,
  runDeployment,
  WAYPOINT_KEY,
} from "./waypoint-mesh.ts";

const SERVICE_ACCOUNTS = ROOTS.serviceAccounts;
afterEach(stopAll);

function accepted({ api }: Harness, name: string): boolean {
  const status = jsonObject(api.get(ROOTS.authorizationPolicies, `shop/${name}`)?.["status"]);
  return jsonList(status["conditions"]).length > 0;
}

test("a policy comes and goes: every proxy sees exemption, binding and refusal in that order, and back in the other", async () => {
  const h = await boundShop();
  const ztunnels = [1, 2].map((n) => kept(connectZtunnel({ h, controller: h.controller }, n)));
  applyItems(h);
  await withWaypoint(h);
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
  assert.match(enforced(h), /shop\/ambit-waypoint enforces spec\.rules\[0\]\.to\[0\]\.operation\.methods/);
  assert.match(
    enforced(h, "ZtunnelAccepted"),
    /^True Accepted requests are judged by waypoint shop\/ambit-waypoint; ztunnels apply/,
  );
  for (const { seen } of ztunnels) assert.equal(letters(seen), "- e eb ebd");
  h.api.remove(ROOTS.authorizationPolicies, "shop/items");
  await eventually(
    `its Deployment goes: ${stages(h)}`,
    () => h.api.get(DEPLOYMENTS, WAYPOINT_KEY) === undefined,
  );
  orphanPod(h);
  h.api.put(ROOTS.authorizationPolicies, policy("shop", "later", { rules: [] }));
  await eventually("the controller goes on meanwhile", () => accepted(h, "later"));
  assert.equal(stages(h), "resting", "while its pods drain they are still let through");
  endDeployment(h);
  await eventually("the Gateway goes", () => h.api.get(GATEWAYS, WAYPOINT_KEY) === undefined);
  for (const { seen } of ztunnels) {
    await eventually(`exemptions go: ${letters(seen)}`, () => letters(seen) === "- e eb ebd eb e -");
  }
});

test("without an HTTP policy nothing is made", async () => {
  const h = await boundShop();
  applyItems(h, { rules: [{}] });
  kept(connectZtunnel({ h, controller: h.controller }, 1));
  await eventually("status", () => {
    const status = jsonObject(h.api.get(ROOTS.authorizationPolicies, "shop/items")?.["status"]);
    return jsonList(status["conditions"]).length > 0;
  });
  assert.equal(h.api.get(GATEWAYS, WAYPOINT_KEY), undefined);
  assert.equal(enforced(h), "");
});

test("the node of a bound pod is waited for, and named", async () => {
  const h = await boundShop();
  const first = kept(connectZtunnel({ h, controller: h.controller }, 1));
  applyItems(h);
  await withWaypoint(h);
  await eventually(`waits: ${enforced(h)}`, () => /False WaitingForNode .*node node-2/.test(enforced(h)));
  assert.equal(stages(h), "exempting");
  assert.ok(
    first.seen.every(({ binds, denies }) => !binds && !denies),
    letters(first.seen),
  );
  kept(connectZtunnel({ h, controller: h.controller }, 2));
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
});

test("no waypoint, no binding: traffic goes on as before while it starts", async () => {
  const h = await boundShop();
  const ztunnels = [1, 2].map((n) => kept(connectZtunnel({ h, controller: h.controller }, n)));
  applyItems(h);
  await eventually("said", () => /False WaypointStarting/.test(enforced(h)));
  assert.match(enforced(h, "ZtunnelAccepted"), /^False WaitingForWaypoint not applied by ztunnels before/);
  await eventually("pods run", () => runDeployment(h));
  await eventually("a pod that is ready and not connected is not enough", () =>
    /WaitingForWaypoint .*pod shop\/wp/.test(enforced(h)),
  );
  assert.equal(stages(h), "starting");
  for (const { seen } of ztunnels) assert.equal(letters(seen), "-");
});

test("an account of the reserved name that somebody else made is not touched, nothing is bound, and the status says so", async () => {
  const foreign = { metadata: { namespace: "shop", name: "ambit-waypoint", labels: { mine: "yes" } } };
  const h = await boundShop((api) => api.put(SERVICE_ACCOUNTS, foreign));
  applyItems(h);
  await eventually("said", () =>
    /WaypointFailed .*ServiceAccount shop\/ambit-waypoint belongs to somebody else/.test(enforced(h)),
  );
  assert.equal(h.api.get(DEPLOYMENTS, WAYPOINT_KEY), undefined);
  const writes = h.api.requests.filter(
    ({ method, path }) => method !== "GET" && path.includes("serviceaccounts/"),
  );
  assert.deepEqual(writes, []);
});

test("a changed policy is said to be enforced when the waypoint has the new version", async () => {
  const h = await boundShop();
  for (const n of [1, 2]) kept(connectZtunnel({ h, controller: h.controller }, n));
  applyItems(h);
  const waypoint = await withWaypoint(h);
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
  await waypoint.disconnect();
  applyItems(h, { ...ITEMS, rules: [{ to: [{ operation: { paths: ["/x"] } }] }] }, { generation: 2 });
  await eventually(`waits: ${enforced(h)}`, () => /False (Updating|WaitingForWaypoint)/.test(enforced(h)));
  assert.equal(stages(h), "enforced", "what is bound stays bound");
  kept(connectWaypoint({ h, controller: h.controller }));
  await eventually(`Enforced: ${enforced(h)}`, () => /^True .*operation\.paths/.test(enforced(h)));
});

test("one ALLOW takes the place of another: the waypoint never has neither, and nothing opens", async () => {
  const h = await boundShop();
  const ztunnels = [1, 2].map((n) => kept(connectZtunnel({ h, controller: h.controller }, n)));
  const allows: string[] = [];
  applyItems(h);
  await eventually("pods run", () => runDeployment(h));
  kept(
    connectWaypoint({ h, controller: h.controller }, undefined, ({ policies }) =>
      allows.push(policies.flatMap(({ key, action }) => (action === "allow" ? [key] : [])).join() || "none"),
    ),
  );
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
  h.api.remove(ROOTS.authorizationPolicies, "shop/items");
  h.api.put(ROOTS.authorizationPolicies, policy("shop", "others", ITEMS));
  const others = (): string => conditionOf(h.api.get(ROOTS.authorizationPolicies, "shop/others"), "Enforced");
  await eventually("Enforced", () => others().startsWith("True") && stages(h) === "enforced");
  assert.deepEqual([...new Set(allows)], ["shop/items", "shop/others"]);
  for (const { seen } of ztunnels) assert.equal(letters(seen), "- e eb ebd");
});

test("a second policy for a bound pod: the waypoint has it before the pod's ztunnel gets its form for connections", async () => {
  const h = await boundShop();
  const events = new Set<string>();
  const learn = (known: string, { resources }: XdsUpdate): string => {
    for (const { name, body } of resources.filter((one) => one.name === CATALOG)) {
      const decoded = decodeAddress(body);
      if (!decoded.ok || decoded.value.kind !== "workload") throw new Error(name);
      if (decoded.value.workload.authorizationPolicies.includes("shop/writers" as never))
        events.add("ztunnel");
    }
    return known;
  };
  for (const n of [1, 2])
    kept(connectObserver({ h, controller: h.controller }, n, { first: "", learn, refuse: () => [] }));
  applyItems(h);
  await eventually("pods run", () => runDeployment(h));
  kept(
    connectWaypoint({ h, controller: h.controller }, undefined, ({ policies }) => {
      if (policies.some(({ key }) => key === "shop/writers")) events.add("waypoint");
    }),
  );
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
  h.api.put(ROOTS.authorizationPolicies, policy("shop", "writers", ITEMS));
  await eventually("both", () => events.size === 2);
  assert.deepEqual([...events], ["waypoint", "ztunnel"]);
});

test("a DENY of requests alone is named by the pod once it is closed: HTTP is refused on its TCP ports", async () => {
  const h = await boundShop();
  const told: string[] = [];
  const learn = (known: string, { resources }: XdsUpdate): string => {
    for (const { name, body } of resources.filter((one) => one.name === CATALOG)) {
      const decoded = decodeAddress(body);
      if (!decoded.ok || decoded.value.kind !== "workload") throw new Error(name);
      const names = decoded.value.workload.authorizationPolicies;
      const closed = names.some((key) => key.includes("only_through"));
      const denies = names.includes("shop/ambit_denies_http_shop_items" as never);
      told.push(`${closed ? "closed" : "open"}${denies ? " and no HTTP" : ""}`);
    }
    return known;
  };
  for (const n of [1, 2])
    kept(connectObserver({ h, controller: h.controller }, n, { first: "", learn, refuse: () => [] }));
  applyItems(h, { ...ITEMS, action: "DENY", rules: [{ to: [{ operation: { paths: ["/admin"] } }] }] });
  await withWaypoint(h);
  await eventually(`Enforced: ${enforced(h)}`, () => enforced(h).startsWith("True"));
  assert.deepEqual([...new Set(told)], ["open", "closed and no HTTP"]);
});

test("another controller goes on where the first one ended, in every stage", async () => {
  const h = await boundShop();
  kept(connectZtunnel({ h, controller: h.controller }, 1));
  applyItems(h);
  await withWaypoint(h);
  await eventually(`waits for node-2: ${stages(h)}`, () => stages(h) === "exempting");
  await h.controller.stop();
  const second = await nextController(h);
  assert.equal(stages(h), "exempting");
  const ztunnels = [1, 2].map((n) => kept(connectZtunnel({ h, controller: second }, n)));
  for (const { seen } of ztunnels)
    await eventually("what was pushed is pushed from the start", () => seen[0]?.exempts === true);
  assert.equal(stages(h), "exempting", "its waypoint is not connected yet");
  kept(connectWaypoint({ h, controller: second }));
  await eventually(`Enforced: ${stages(h)}`, () => enforced(h).startsWith("True"));
  for (const { seen } of ztunnels) assert.equal(letters(seen), "e eb ebd");
});

test("only a waypoint may ask for a configuration, and only for its own", async () => {
  const h = await boundShop();
  applyItems(h);
  await eventually("pods run", () => runDeployment(h));
  const waypoint = kept(connectWaypoint({ h, controller: h.controller }));
  await eventually("own", () => waypoint.client.status().acknowledged.length === 2);
  void waypoint.client.demand(TYPE_URL_WAYPOINT, "bank/ambit-waypoint", new AbortController().signal);
  await eventually("refused", () => h.log.some((line) => line.includes("not its own configuration")));
});
