/** What dies in the middle of a transition, or under load: requests wait, nothing passes unevaluated, the transition is finished. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DEPLOYMENT, kindPath, POD } from "#core/k8s/kinds.ts";
import { underAttack, visitors } from "../framework/attack.ts";
import { eventually } from "../framework/eventually.ts";
import { ITEMS_POLICY } from "../framework/l7-policies.ts";
import {
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
import { loadBetween } from "../framework/load.ts";
import { type Mesh, meshUp, seconds } from "../framework/mesh.ts";
import { killContainer } from "../framework/node-inside.ts";
import { applyYaml, listPods, onlyPod } from "../framework/pods.ts";
import { clientsByReplica, loseLeader, scaleControllers, untilControllers } from "../framework/replicas.ts";
import { say } from "../framework/say.ts";
import { killAtEachStage, killController, renewController } from "../framework/stage-kills.ts";
import { AUTOMATIC, gatewaysOf, untilEnforced, untilGone } from "../framework/waypoints.ts";

const COMING = ["starting", "exempting", "binding", "draining", "denying", "enforced"];
const GOING = ["releasing", "lifting", "unbinding", "resting"];

let mesh: Mesh;
let shop: L7Shop;
let arrivals: ArrivalWatch;

before(async () => {
  mesh = await meshUp({ env: { "ambit-controller": { AMBIT_WAYPOINT_GRACE: "4s" } }, crashBackoffMs: 100 });
  shop = await openL7Shop(mesh);
  arrivals = new ArrivalWatch(mesh, shop.catalog);
});
after(() => mesh?.down());

test("the controller killed in every stage while a waypoint comes: nothing fails, nobody gets in", async () => {
  const database = await dbStats(shop);
  await shop.load.begin();
  await underAttack({ shop, arrivals }, visitors(shop), async () => {
    const killed = await killAtEachStage(mesh, "shop", COMING, () => applyYaml(mesh.client, ITEMS_POLICY));
    say(`controller killed in ${killed.join(", ")}`);
    await untilEnforced(mesh.client, "shop", "items");
    assert.deepEqual(await asked(shop.frontend, "/items", { method: "POST" }), REFUSED);
  });
  await shop.load.expectNoFailure("controller killed six times while a waypoint came", { mayRetry: true });
  await expectDatabaseUntouched(shop, database);
});

test("the waypoint killed under load: requests wait, none passes unevaluated, service resumes by itself", async () => {
  await renewController(mesh); // a waypoint needs one to begin again
  const waypoint = await theWaypoint(mesh);
  arrivals.begin();
  const before = await shop.load.stats();
  const began = performance.now();
  killContainer(mesh.node(waypoint.node), waypoint.uid, waypoint.container);
  const refused = await asked(shop.frontend, "/items/921", { method: "POST" });
  assert.deepEqual(refused, REFUSED, "who asks meanwhile waits, and is judged");
  say(`judged again ${seconds(began)} s after the kill`);
  await shop.load.begin(); // once nothing waits any more
  const { tried, held, retried, failed } = loadBetween(before, await shop.load.stats());
  say(`waypoint killed: ${failed} failures of ${tried} requests tried, ${held} held, ${retried} retried`);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await shop.load.expectNoFailure("after the waypoint's return");
  const seen = await arrivals.expectEvaluated(await theWaypoint(mesh), { inLog: false });
  assert.ok(!seen.some(({ path }) => path === "/items/921"));
  const refusals = Object.keys((await shop.load.stats()).reasons).filter((r) => r.includes("ECONNREFUSED"));
  assert.deepEqual(refusals, [], "none was refused while it was away");
});

test("the controller killed, then the waypoint: requests wait for both", async () => {
  await killController(mesh);
  const waypoint = await theWaypoint(mesh);
  killContainer(mesh.node(waypoint.node), waypoint.uid, waypoint.container);
  await eventually("judged again", async () => {
    const answer = await asked(shop.frontend, "/items/922", { method: "POST" });
    return answer.status === 403 ? true : undefined;
  });
  assert.equal((await asked(shop.frontend, "/items/923")).status, 200);
});

test("a new pod of a bound workload is behind the waypoint from its first request on", async () => {
  const scale = (replicas: number): Promise<unknown> =>
    mesh.client.json({
      method: "PATCH",
      path: kindPath(DEPLOYMENT, { namespace: "shop", name: "catalog" }),
      contentType: "application/merge-patch+json",
      body: { spec: { replicas } },
    });
  await shop.load.begin();
  await scale(2);
  const second = await eventually("a second catalog", async () => {
    const pods = await listPods(mesh.client, "shop", "app=catalog");
    return pods.find((pod) => pod.ready && pod.uid !== shop.catalog.uid);
  });
  const there = new ArrivalWatch(mesh, second);
  await eventually("requests arrive there", () => (there.since().length > 20 ? true : undefined));
  const refused = await asked(shop.frontend, "/items/924", { host: second.ipv4, method: "POST" });
  assert.deepEqual(refused, REFUSED);
  assert.equal((await asked(shop.intruder, "/items/924", { host: second.ipv4 })).status, 0);
  const seen = await there.expectEvaluated(await theWaypoint(mesh), { inLog: false });
  assert.ok(!seen.some(({ path }) => path === "/items/924"));
  await scale(1);
  await onlyPod(mesh.client, "shop", "app=catalog");
  await shop.load.expectNoFailure("catalog scaled to two and back", { mayRetry: true });
});

test("the waypoint's pod deleted under load: another one takes over, requests wait and none fails", async () => {
  const old = await theWaypoint(mesh);
  await shop.load.begin();
  const path = kindPath(POD, { namespace: "shop", name: old.name });
  await mesh.client.json({ method: "DELETE", path });
  await eventually("the next one", async () =>
    (await theWaypoint(mesh)).uid !== old.uid ? true : undefined,
  );
  await eventually("judged again", async () =>
    (await asked(shop.frontend, "/items/925")).status === 200 ? true : undefined,
  );
  await shop.load.expectNoFailure("the waypoint's pod replaced", { mayRetry: true });
});

test("the controller killed in every stage while a waypoint goes: nothing fails, the older policy holds", async () => {
  await shop.load.begin();
  await underAttack({ shop, arrivals }, visitors(shop), async () => {
    const killed = await killAtEachStage(mesh, "shop", GOING, () => removeYaml(mesh, ITEMS_POLICY));
    say(`controller killed in ${killed.join(", ")}`);
    await eventually("POST is allowed again", async () =>
      (await asked(shop.frontend, "/items", { method: "POST" })).status === 200 ? true : undefined,
    );
    await untilGone(mesh.client, "shop", AUTOMATIC);
  });
  await shop.load.expectNoFailure("controller killed four times while a waypoint went", { mayRetry: true });
  assert.deepEqual(await gatewaysOf(mesh.client, "shop"), []);
});

test("two controllers, and the one that leads is lost: policies come, change and go as with one", async () => {
  await scaleControllers(mesh, 2);
  await underAttack({ shop, arrivals }, visitors(shop), async () => {
    await applyYaml(mesh.client, ITEMS_POLICY);
    const first = await untilEnforced(mesh.client, "shop", "items");
    // Whoever connects comes out at one of the two: proxies are killed until each has some.
    await eventually(
      "clients at both",
      async () => {
        if ([...(await clientsByReplica(mesh)).values()].filter((n) => n > 0).length > 1) return true;
        const waypoint = await theWaypoint(mesh);
        killContainer(mesh.node(waypoint.node), waypoint.uid, waypoint.container);
        await eventually("judged again", async () =>
          (await asked(shop.frontend, "/items/926")).status === 200 ? true : undefined,
        );
        return undefined;
      },
      90_000,
    );
    await shop.load.begin();
    await applyYaml(mesh.client, ITEMS_POLICY.replace("methods: [GET],", "methods: [GET, HEAD],"));
    const changed = await untilEnforced(mesh.client, "shop", "items");
    await loseLeader(mesh);
    await applyYaml(mesh.client, ITEMS_POLICY);
    const lost = await untilEnforced(mesh.client, "shop", "items");
    await untilControllers(mesh, 2);
    say(
      `two controllers: enforced after ${first.toFixed(1)} s, a change after ${changed.toFixed(1)} s, the leader lost after ${lost.toFixed(1)} s`,
    );
    assert.deepEqual(await asked(shop.frontend, "/items", { method: "POST" }), REFUSED);
    await removeYaml(mesh, ITEMS_POLICY);
    await untilGone(mesh.client, "shop", AUTOMATIC);
  });
  await shop.load.expectNoFailure("two controllers, one of them lost", { mayRetry: true });
  await scaleControllers(mesh, 1);
});
