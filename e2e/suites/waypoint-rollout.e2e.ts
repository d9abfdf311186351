/** Waypoints, ztunnels and node agents that are replaced, added and taken away under load and under attack, while policies about requests are in force in two namespaces. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DEPLOYMENT, kindPath } from "#core/k8s/kinds.ts";
import { everybodyForbidden, underAttack } from "../framework/attack.ts";
import { eventually } from "../framework/eventually.ts";
import { post } from "../framework/http-moves.ts";
import { ITEMS_POLICY } from "../framework/l7-policies.ts";
import {
  accessLog,
  ArrivalWatch,
  asked,
  type L7Shop,
  openL7Shop,
  REFUSED,
  theWaypoint,
} from "../framework/l7-shop.ts";
import { type Mesh, meshUp, seconds } from "../framework/mesh.ts";
import { withoutApi } from "../framework/no-api.ts";
import { containerLog, killContainer } from "../framework/node-inside.ts";
import { applyYaml, listPods, type PodFacts } from "../framework/pods.ts";
import { say } from "../framework/say.ts";
import { cancel, eventsOf, grpcSay, grpcStreams } from "../framework/stream-moves.ts";
import { openTalk, type Talk, talkPolicy } from "../framework/talk.ts";
import { AUTOMATIC, untilEnforced } from "../framework/waypoints.ts";
import { agentOn, rollZtunnels, SYSTEM } from "../framework/ztunnel-state.ts";

const GRPC = "talk.talk:9000";
const SAY = "/talk.Talk/Say";
const WATCH = "/talk.Talk/Watch";
const STREAM = { everyMs: 250, count: 40, messageMs: 50 };

let mesh: Mesh;
let shop: L7Shop;
let talk: Talk;
let arrivals: ArrivalWatch;

before(async () => {
  mesh = await meshUp();
  [shop, talk] = await Promise.all([openL7Shop(mesh), openTalk(mesh)]);
  arrivals = new ArrivalWatch(mesh, shop.catalog);
  await applyYaml(mesh.client, ITEMS_POLICY);
  await applyYaml(mesh.client, talkPolicy(SAY, WATCH));
  await untilEnforced(mesh.client, "shop", "items");
  await untilEnforced(mesh.client, "talk", "talk");
});
after(() => mesh?.down());

/** While `change` runs: no request of the load fails, no stream of the talk, and nothing forbidden arrives. */
async function nothingIsLost(
  during: string,
  change: () => Promise<unknown>,
  { mayRetry = false } = {},
): Promise<void> {
  const began = performance.now();
  await shop.load.begin();
  await talk.far.hands.run(grpcStreams, during, GRPC, STREAM);
  await underAttack({ shop, arrivals }, everybodyForbidden(shop), change);
  await talk.far.hands.run(cancel, during);
  await shop.load.expectNoFailure(during, { mayRetry });
  const { ends, begun } = await eventually("every stream has ended", async () => {
    const events = await talk.far.hands.run(eventsOf, during);
    const count = Number(/^begun (\d+)$/.exec(events.find((event) => event.startsWith("begun")) ?? "")?.[1]);
    const ended = events.filter((event) => event.startsWith("end"));
    return ended.length === count ? { ends: ended, begun: count } : undefined;
  });
  assert.deepEqual([...new Set(ends)], [`end 0 after ${STREAM.count}`]);
  assert.ok(begun > 3, `only ${begun} streams`);
  say(`${during}: ${seconds(began)} s, ${begun} streams of gRPC whole`);
}

async function patchDeployment(spec: object): Promise<void> {
  await mesh.client.json({
    method: "PATCH",
    path: kindPath(DEPLOYMENT, { namespace: "shop", name: AUTOMATIC }),
    contentType: "application/merge-patch+json",
    body: { spec },
  });
}

const waypointsOf = (namespace: string): Promise<readonly PodFacts[]> =>
  listPods(mesh.client, namespace, `gateway.networking.k8s.io/gateway-name=${AUTOMATIC}`);

/** Until just these many pods of the waypoint are there, each Ready, and none that is still going away. */
function untilPods(count: number): Promise<readonly PodFacts[]> {
  return eventually(`${count} waypoint pods`, async () => {
    const pods = await waypointsOf("shop");
    return pods.length === count && pods.every((pod) => pod.ready) ? pods : undefined;
  });
}

test("an upgrade: controller and waypoints of two namespaces get another image, nothing fails", async () => {
  const old = [await theWaypoint(mesh), await theWaypoint(mesh, AUTOMATIC, "talk")];
  await nothingIsLost(
    "upgrade of controller and waypoints",
    async () => {
      const env = [{ name: "WAYPOINT_IMAGE", value: "ambit/waypoint:next" }];
      await mesh.client.json({
        method: "PATCH",
        path: kindPath(DEPLOYMENT, { namespace: SYSTEM, name: "ambit-controller" }),
        contentType: "application/strategic-merge-patch+json",
        body: { spec: { template: { spec: { containers: [{ name: "controller", env }] } } } },
      });
      for (const { namespace, uid } of old)
        await eventually(
          `the next waypoint of ${namespace}`,
          async () => {
            const pods = await waypointsOf(namespace);
            return pods.length === 1 && pods[0]?.ready === true && pods[0].uid !== uid ? true : undefined;
          },
          60_000,
        );
    },
    { mayRetry: true },
  );
  const fresh = await theWaypoint(mesh);
  await eventually("requests through the new pod", () => accessLog(mesh, fresh).length > 100 || undefined);
});

test("a second replica takes its part, and goes again: nothing fails", async () => {
  await shop.load.begin();
  await patchDeployment({ replicas: 2 });
  const pods = await untilPods(2);
  await eventually(
    "both judge requests",
    () => pods.every((pod) => accessLog(mesh, pod).length > 10) || undefined,
  );
  await patchDeployment({ replicas: 1 });
  await untilPods(1);
  assert.deepEqual(await asked(shop.frontend, "/items/932", { method: "POST" }), REFUSED);
  await shop.load.expectNoFailure("a second replica came and went", { mayRetry: true });
});

test("ztunnels are replaced on both nodes: nothing fails, nobody gets in", () =>
  nothingIsLost("rolling restart of ztunnels", () =>
    // A connection that outlives the old proxy's drain cannot be kept by anybody: the load moves on meanwhile.
    rollZtunnels(mesh, () => shop.frontend.hands.run(post, "http://127.0.0.1:9090/recycle")),
  ));

test("node agents are killed on both nodes: nothing fails, nobody gets in", () =>
  nothingIsLost("agents killed", async () => {
    for (const node of ["n1", "n2"]) {
      const agent = await agentOn(mesh, node);
      const running = (): number =>
        containerLog(mesh.node(node), agent, "install-cni").filter((line) => line.msg === "agent running")
          .length;
      const before = running();
      killContainer(mesh.node(node), agent.uid, "install-cni");
      await eventually("the next agent runs", () => (running() > before ? true : undefined));
    }
  }));

test("the API away and back: what is enforced stays enforced, and the next change arrives", async () => {
  await nothingIsLost("API away", () =>
    withoutApi(mesh, async () => {
      await new Promise((resolve) => setTimeout(resolve, 3_000)); // some load without an API
    }),
  );
  await applyYaml(mesh.client, talkPolicy(SAY));
  await untilEnforced(mesh.client, "talk", "talk");
  assert.equal((await talk.far.hands.run(grpcSay, GRPC, "x", WATCH)).code, 7);
});
