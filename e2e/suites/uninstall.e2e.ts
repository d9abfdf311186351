/**
 * The mesh is taken from a running cluster: the agent's DaemonSet is deleted while pods are captured and labels stand.
 * Nothing fails, nothing is left behind, and pods start without the mesh from then on.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { eventually } from "../framework/eventually.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { post } from "../framework/http-moves.ts";
import { ask, call, endOf, hangUp, open, serveEcho } from "../framework/tcp-moves.ts";
import {
  captureTraces,
  containerLog,
  pinnedPods,
  podNetnsPath,
  untilLogged,
} from "../framework/node-inside.ts";
import { findPod, listPods, runPod } from "../framework/pods.ts";
import { enrol, openShop, type Shop, withHands } from "../framework/shop.ts";
import { agentOn, SYSTEM } from "../framework/ztunnel-state.ts";

const PORT = 9_000;
const AGENTS = "k8s-app=istio-cni-node";
const DAEMONSET = "/apis/apps/v1/namespaces/istio-system/daemonsets/istio-cni-node";

let mesh: Mesh;
let shop: Shop;

before(async () => {
  mesh = await meshUp();
  shop = await openShop(mesh);
  await shop.catalog.hands.run(serveEcho, "echo", PORT);
  await enrol(mesh, "shop");
  await shop.frontend.hands.run(post, "http://127.0.0.1:9090/recycle");
});
after(() => mesh?.down());

/** What the node's container runtime reads, and the plugin beside it. */
function pluginTraces(node: string): readonly string[] {
  const root = `/proc/${mesh.node(node).initPid}/root`;
  const confDir = join(root, "etc/cni/net.d");
  const named = readdirSync(confDir).filter((name) =>
    readFileSync(join(confDir, name), "utf8").includes("ambit-cni"),
  );
  return existsSync(join(root, "opt/cni/bin/ambit-cni")) ? [...named, "program"] : named;
}

test("a pod of the mesh's own namespace is not captured though it is labelled, and the agent's log says why", async () => {
  const labels = { "istio.io/dataplane-mode": "ambient" };
  const pod = await runPod(mesh.client, { namespace: SYSTEM, name: "insider", node: "n1", labels });
  const agent = await agentOn(mesh, "n1");
  const log = (): ReturnType<typeof containerLog> => containerLog(mesh.node("n1"), agent, "install-cni");
  const line = await untilLogged("labelled in vain", log, (l) => l["pod"] === `${SYSTEM}/insider`);
  assert.equal(line["reason"], "system-namespace");
  assert.ok(!pinnedPods(mesh.node("n1")).includes(pod.uid));
});

test("the agent's DaemonSet deleted under load: no request fails, captured connections end captured, nothing is left", async () => {
  for (const node of ["n1", "n2"]) {
    assert.ok(pluginTraces(node).length > 0, "the search finds the plugin while it is there");
    assert.ok(pinnedPods(mesh.node(node)).length > 0, "and pods that are captured");
  }
  await shop.frontend.hands.run(open, "captured", shop.catalog.ipv4, PORT);
  await shop.load.begin();
  await mesh.client.json({ method: "DELETE", path: DAEMONSET });
  await eventually("the pods are out", async () => {
    const pods = await listPods(mesh.client, "shop");
    return pods.every((pod) => !pod.captured) ? true : undefined;
  });
  assert.equal(await shop.frontend.hands.run(ask, "captured", "STILL-CAPTURED"), "e:STILL-CAPTURED");
  await mesh.wire.settle();
  assert.equal(mesh.wire.countText("STILL-CAPTURED"), 0);
  await shop.frontend.hands.run(post, "http://127.0.0.1:9090/recycle");
  await shop.frontend.hands.run(hangUp, "captured");
  await shop.frontend.hands.run(endOf, "captured");
  await eventually("the agents have ended", async () =>
    (await listPods(mesh.client, SYSTEM, AGENTS)).length === 0 ? true : undefined,
  );
  await shop.load.expectNoFailure("the agent's DaemonSet deleted");
  for (const node of ["n1", "n2"]) {
    assert.deepEqual(pinnedPods(mesh.node(node)), [], node);
    assert.deepEqual(pluginTraces(node), [], node);
  }
  for (const pod of [shop.frontend, shop.catalog]) {
    assert.deepEqual(await captureTraces(podNetnsPath(mesh.node(pod.node), pod.uid)), [], pod.name);
  }
});

test("a pod of the namespace that is still labelled starts, and speaks plaintext", async () => {
  const made = await runPod(mesh.client, { namespace: "shop", name: "afterwards", node: "n1" });
  const pod = await withHands(mesh, made);
  assert.equal((await pod.hands.run(call, shop.catalog.ipv4, PORT, "IN-CLEAR-AGAIN")).kind, "ok");
  await mesh.wire.settle();
  assert.ok(mesh.wire.countText("IN-CLEAR-AGAIN") > 0, "nothing of the mesh is in the way");
  assert.equal((await findPod(mesh.client, "shop", "afterwards"))?.captured, false);
});
