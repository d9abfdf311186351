/**
 * A Gateway of class istio-waypoint that a user makes, with istio.io/use-waypoint: as in Istio, and before any automatic one. One waypoint takes over from
 * another without a moment of none.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { GATEWAY_CLASS as GATEWAY_CLASS_KIND, kindPath } from "#core/k8s/kinds.ts";
import { WAYPOINT_CLASS } from "#core/model/waypoint.ts";
import { forbidden, underAttack } from "../framework/attack.ts";
import { eventually } from "../framework/eventually.ts";
import {
  AUDIT_WRITES,
  ITEMS_POLICY,
  OWN_GATEWAY,
  OWN_WAYPOINT,
  READ_ONLY,
} from "../framework/l7-policies.ts";
import {
  accessLog,
  ArrivalWatch,
  asked,
  dbStats,
  type L7Shop,
  openL7Shop,
  REFUSED,
  removeYaml,
  theWaypoint,
} from "../framework/l7-shop.ts";
import { type Mesh, meshUp, seconds } from "../framework/mesh.ts";
import { containerLog, type LogLine } from "../framework/node-inside.ts";
import { applyYaml } from "../framework/pods.ts";
import { say } from "../framework/say.ts";
import { AUTOMATIC, gatewaysOf, policyCondition, untilEnforced, untilGone } from "../framework/waypoints.ts";

let mesh: Mesh;
let shop: L7Shop;

let arrivals: ArrivalWatch;

before(async () => {
  mesh = await meshUp();
  shop = await openL7Shop(mesh);
  arrivals = new ArrivalWatch(mesh, shop.catalog);
  await applyYaml(mesh.client, READ_ONLY);
  await untilEnforced(mesh.client, "shop", "read-only");
});
after(() => mesh?.down());

const names = async (): Promise<readonly string[]> =>
  (await gatewaysOf(mesh.client, "shop")).map(({ name }) => name);

const GATEWAY_CLASS = readFileSync(join(import.meta.dirname, "../../deploy/25-gateway-class.yaml"), "utf8");

const catalogLog = (): readonly LogLine[] =>
  containerLog(mesh.node(shop.catalog.node), shop.catalog, shop.catalog.container);

async function classStatus(): Promise<string> {
  const path = kindPath(GATEWAY_CLASS_KIND, { name: WAYPOINT_CLASS });
  const { conditions } = jsonObject(jsonObject(await mesh.client.json({ method: "GET", path }))["status"]);
  const accepted = jsonList(conditions)
    .map(jsonObject)
    .find(({ type }) => type === "Accepted");
  return jsonText(accepted?.["status"]);
}

const choose = (waypoint: string | undefined): Promise<unknown> =>
  mesh.kubectl.labelNamespace("shop", "istio.io/use-waypoint", waypoint);

/**
 * What is forbidden by the waypoint before and by the one after never arrives, and nothing that both allow fails. Visitors come by the pod's own
 * address: who calls the service through a waypoint that people made is not known to L4 policies, as in Istio.
 */
async function takeover(from: string, to: string, change: () => Promise<unknown>): Promise<void> {
  const { ipv4, ipv6 } = shop.catalog;
  const attackers = [
    () => asked(shop.frontend, forbidden(2), { method: "POST" }),
    () => asked(shop.visitor, forbidden(4), { host: ipv4 }),
    () => asked(shop.visitor, forbidden(5), { host: ipv6 }),
  ];
  await shop.load.begin();
  const began = performance.now();
  await underAttack({ shop, arrivals }, attackers, async () => {
    await change();
    await eventually(`${to} judges`, async () => {
      await asked(shop.frontend, "/items/7701");
      const seen = accessLog(mesh, await theWaypoint(mesh, to)).some(
        (line) => line["path"] === "/items/7701",
      );
      return seen ? true : undefined;
    });
    await untilEnforced(mesh.client, "shop", "read-only");
  });
  say(`from waypoint ${from} to ${to}: enforced after ${seconds(began)} s`);
  await shop.load.expectNoFailure(`from waypoint ${from} to ${to}`, { mayRetry: true });
}

test("one that people make takes over from the automatic one under load: nothing forbidden arrives, nothing allowed fails", async () => {
  await takeover(AUTOMATIC, OWN_WAYPOINT, async () => {
    await choose(OWN_WAYPOINT);
    await eventually("what is not there yet is said, and what came before goes on", async () => {
      const facts = { namespace: "shop", name: "read-only", type: "Enforced" };
      const condition = await policyCondition(mesh.client, facts);
      return condition?.status === "False" && condition.message.includes(`${AUTOMATIC} goes on`)
        ? true
        : undefined;
    });
    assert.equal((await asked(shop.frontend, "/items")).status, 200, "callers do not wait for it");
    await applyYaml(mesh.client, OWN_GATEWAY);
  });
  await untilGone(mesh.client, "shop", AUTOMATIC);
});

test("it is programmed, and judges the requests of the services that use it", async () => {
  const gateway = (await gatewaysOf(mesh.client, "shop")).find(({ name }) => name === OWN_WAYPOINT);
  const condition = gateway?.conditions.find(({ type }) => type === "Programmed");
  assert.equal(condition?.status, "True", JSON.stringify(gateway?.conditions));
  assert.deepEqual(await asked(shop.frontend, "/items", { method: "POST" }), REFUSED);
  assert.equal((await asked(shop.frontend, "/items")).status, 200);
  const waypoint = await theWaypoint(mesh, OWN_WAYPOINT);
  const line = accessLog(mesh, waypoint).findLast((l) => l["response_code"] === 403);
  assert.equal(line?.["policy"], "shop/read-only");
});

test("no automatic waypoint appears beside it", async () => {
  assert.deepEqual(await names(), [OWN_WAYPOINT]);
  assert.ok(!(await names()).includes(AUTOMATIC));
});

test("every port goes through it, the server-first database too", async () => {
  const before = await dbStats(shop);
  const { fresh, kept, reasons } = await eventually("new sessions", async () => {
    const now = await dbStats(shop);
    return now.fresh.ok > before.fresh.ok + 10 ? now : undefined;
  });
  assert.equal(fresh.failed, before.fresh.failed, JSON.stringify(reasons));
  assert.equal(kept.lost, "");
});

test("another one that people make takes over from it under load", async () => {
  const second = OWN_GATEWAY.replace(`name: ${OWN_WAYPOINT},`, "name: second,");
  assert.notEqual(second, OWN_GATEWAY);
  await applyYaml(mesh.client, second);
  await takeover(OWN_WAYPOINT, "second", () => choose("second"));
  await removeYaml(mesh, OWN_GATEWAY);
  await untilGone(mesh.client, "shop", OWN_WAYPOINT);
});

test("without the label the automatic one takes over under load, and the other one is not used any more", async () => {
  const waypoint = await theWaypoint(mesh, "second");
  await takeover("second", AUTOMATIC, () => choose(undefined));
  await eventually("requests go past it", async () => {
    const before = accessLog(mesh, waypoint).length;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    return accessLog(mesh, waypoint).length === before ? true : undefined;
  });
});

test("a running pod comes under an enforced policy by its labels, under load: nothing allowed fails, and it is said when it holds", async () => {
  const judged = ITEMS_POLICY.replace("app: catalog", "judged: by-method");
  assert.notEqual(judged, ITEMS_POLICY);
  await removeYaml(mesh, READ_ONLY);
  await applyYaml(mesh.client, judged);
  await untilEnforced(mesh.client, "shop", "items");
  const { ipv4: host } = shop.catalog;
  assert.equal((await asked(shop.frontend, "/items", { method: "POST", host })).status, 200);
  await shop.load.begin();
  const began = performance.now();
  await labelPod(shop.catalog.name, { judged: "by-method" });
  await eventually("that it does not hold yet is said", async () => {
    const facts = { namespace: "shop", name: "items", type: "Enforced" };
    return (await policyCondition(mesh.client, facts))?.reason === "Draining" ? true : undefined;
  });
  await untilEnforced(mesh.client, "shop", "items");
  say(`a running pod came under the policy: enforced after ${seconds(began)} s`);
  assert.deepEqual(await asked(shop.frontend, "/items", { method: "POST", host }), REFUSED);
  assert.equal((await asked(shop.intruder, "/items", { host })).status, 0);
  await shop.load.expectNoFailure("a running pod came under the policy", { mayRetry: true });
  await removeYaml(mesh, judged);
});

function labelPod(name: string, labels: Readonly<Record<string, string>>): Promise<unknown> {
  return mesh.client.json({
    method: "PATCH",
    path: `/api/v1/namespaces/shop/pods/${name}`,
    contentType: "application/merge-patch+json",
    body: { metadata: { labels } },
  });
}

test("without the policy and without the Gateway all are gone", async () => {
  await shop.load.begin();
  await removeYaml(mesh, OWN_GATEWAY.replace(`name: ${OWN_WAYPOINT},`, "name: second,"));
  await eventually("POST is allowed again", async () =>
    (await asked(shop.frontend, "/items", { method: "POST" })).status === 200 ? true : undefined,
  );
  for (const name of ["second", AUTOMATIC]) await untilGone(mesh.client, "shop", name);
  await shop.load.expectNoFailure("both waypoints removed", { mayRetry: true });
});

test("AUDIT alone: requests pass a waypoint that notes what matches, and nobody is refused for it", async () => {
  await shop.load.begin();
  await applyYaml(mesh.client, AUDIT_WRITES);
  const tookSeconds = await untilEnforced(mesh.client, "shop", "watch");
  await shop.load.expectNoFailure("AUDIT", { mayRetry: true });
  assert.equal((await asked(shop.frontend, "/items/8801")).status, 200);
  assert.equal((await asked(shop.frontend, "/items/8802", { method: "POST" })).status, 200);
  assert.equal(
    (await asked(shop.intruder, "/items/8803", { method: "POST" })).status,
    200,
    "not noted, not refused",
  );
  const waypoint = await theWaypoint(mesh);
  const noted = await eventually("both lines", () => {
    const lines = accessLog(mesh, waypoint).filter((line) => String(line["path"]).startsWith("/items/880"));
    return lines.length === 2 ? lines.map((line) => [line["path"], line["audit"]]) : undefined;
  });
  assert.deepEqual(noted, [
    ["/items/8801", undefined],
    ["/items/8802", "shop/watch rule 0"],
  ]);
  say(`AUDIT in force after ${tookSeconds.toFixed(1)} s`);
});

test("the class is made anew: it is accepted at once, and as it says applications hear who called", async () => {
  const annotation = 'annotations: { ambient.istio.io/xfcc-include-client-identity: "true" }';
  const said = GATEWAY_CLASS.replace("  labels:", `  ${annotation}\n  labels:`);
  assert.notEqual(said, GATEWAY_CLASS);
  const caller = async (path: string): Promise<unknown> => {
    await asked(shop.frontend, path);
    return catalogLog().findLast((line) => line["path"] === path)?.["caller"];
  };
  assert.equal(await caller("/items/8811"), undefined);
  await removeYaml(mesh, GATEWAY_CLASS);
  await applyYaml(mesh.client, said);
  await eventually("the class is accepted", async () =>
    (await classStatus()) === "True" ? true : undefined,
  );
  const account = (name: string): string => `spiffe://cluster.local/ns/shop/sa/${name}`;
  await eventually("the catalog hears who called", async () => {
    const heard = await caller("/items/8812");
    return heard === `By=${account(AUTOMATIC)};URI=${account("frontend")}` ? true : undefined;
  });
});
