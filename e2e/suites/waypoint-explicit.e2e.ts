/** A Gateway of class istio-waypoint that a user makes, with istio.io/use-waypoint: as in Istio, and before any automatic one. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "../framework/eventually.ts";
import { OWN_GATEWAY, OWN_WAYPOINT, READ_ONLY } from "../framework/l7-policies.ts";
import {
  accessLog,
  asked,
  dbStats,
  type L7Shop,
  openL7Shop,
  REFUSED,
  removeYaml,
  theWaypoint,
} from "../framework/l7-shop.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { applyYaml } from "../framework/pods.ts";
import { AUTOMATIC, gatewaysOf, untilEnforced, untilGone } from "../framework/waypoints.ts";

let mesh: Mesh;
let shop: L7Shop;

before(async () => {
  mesh = await meshUp();
  shop = await openL7Shop(mesh);
});
after(() => mesh?.down());

const names = async (): Promise<readonly string[]> =>
  (await gatewaysOf(mesh.client, "shop")).map(({ name }) => name);

test("it is programmed, and judges the requests of the services that use it", async () => {
  await applyYaml(mesh.client, OWN_GATEWAY);
  await eventually("Programmed", async () => {
    const gateway = (await gatewaysOf(mesh.client, "shop")).find(({ name }) => name === OWN_WAYPOINT);
    const condition = gateway?.conditions.find(({ type }) => type === "Programmed");
    if (condition?.status !== "True") throw new Error(JSON.stringify(gateway?.conditions));
    return true;
  });
  await mesh.kubectl.labelNamespace("shop", "istio.io/use-waypoint", OWN_WAYPOINT);
  await applyYaml(mesh.client, READ_ONLY);
  await eventually("POST is refused", async () => {
    const answer = await asked(shop.frontend, "/items", { method: "POST" });
    return answer.status === 403 ? (assert.deepEqual(answer, REFUSED) ?? true) : undefined;
  });
  assert.equal((await asked(shop.frontend, "/items")).status, 200);
  const waypoint = await theWaypoint(mesh, OWN_WAYPOINT);
  const line = accessLog(mesh, waypoint).findLast((l) => l["response_code"] === 403);
  assert.equal(line?.["policy"], "shop/read-only");
  await untilEnforced(mesh.client, "shop", "read-only");
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

test("without the label it is not used any more, and without the Gateway it is gone", async () => {
  await removeYaml(mesh, READ_ONLY);
  await mesh.kubectl.labelNamespace("shop", "istio.io/use-waypoint", undefined);
  const waypoint = await theWaypoint(mesh, OWN_WAYPOINT);
  await eventually("requests go past it", async () => {
    const before = accessLog(mesh, waypoint).length;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    return accessLog(mesh, waypoint).length === before ? true : undefined;
  });
  assert.equal((await asked(shop.frontend, "/items", { method: "POST" })).status, 200);
  await removeYaml(mesh, OWN_GATEWAY);
  await untilGone(mesh.client, "shop", OWN_WAYPOINT);
  assert.equal((await asked(shop.frontend, "/items")).status, 200);
});
