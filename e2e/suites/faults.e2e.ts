/**
 * Parts of the mesh are killed, restarted, cut off: running traffic goes on or waits, nothing is ever sent in clear, and
 * the logs say what waits for what.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { NAMESPACE, kindPath } from "#core/k8s/kinds.ts";
import { eventually } from "../framework/eventually.ts";
import { type Mesh, meshUp, seconds } from "../framework/mesh.ts";
import { post } from "../framework/http-moves.ts";
import { ask, blurt, call, callMany, endOf, open, openStubborn, serveEcho } from "../framework/tcp-moves.ts";
import {
  containerLog,
  inNetnsOf,
  killContainer,
  killUntilAway,
  pinnedPods,
  podNetnsPath,
  podPids,
  untilLogged,
} from "../framework/node-inside.ts";
import { withoutApi } from "../framework/no-api.ts";
import { findPod, listPods, onlyPod, type PodFacts, runPod } from "../framework/pods.ts";
import { say } from "../framework/say.ts";
import { enrol, type HandledPod, openShop, type Shop, withHands } from "../framework/shop.ts";
import {
  agentOn,
  podsInMesh,
  SYSTEM,
  rollZtunnels,
  ztunnelOn,
  ztunnelPods,
} from "../framework/ztunnel-state.ts";

const PORT = 9_000;
const FIN_TIMEOUT_S = 2;
const HOLD_S = 8;
const APPS = "/apis/apps/v1/namespaces/istio-system";
const PATCH = { method: "PATCH", contentType: "application/strategic-merge-patch+json" } as const;

let mesh: Mesh;
let shop: Shop;
/** On n1 with a server, so that n1 also receives. */
let neighbour: HandledPod;

before(async () => {
  mesh = await meshUp({ env: { "istio-cni-node": { ZTUNNEL_HOLD: `${HOLD_S}s` } } });
  shop = await openShop(mesh);
  neighbour = await withHands(
    mesh,
    await runPod(mesh.client, { namespace: "shop", name: "neighbour", node: "n1" }),
  );
  for (const pod of [neighbour, shop.catalog]) await pod.hands.run(serveEcho, "echo", PORT);
  assert.equal((await shop.frontend.hands.run(call, shop.catalog.ipv4, PORT, "WATCHER-SEES")).kind, "ok");
  await mesh.wire.settle();
  assert.ok(mesh.wire.countText("WATCHER-SEES") > 0, "the watcher can see clear text");
  await enrol(mesh, "shop");
  await shop.frontend.hands.run(post, "http://127.0.0.1:9090/recycle");
});
after(() => mesh?.down());

async function nothingInClear(...texts: readonly string[]): Promise<void> {
  await mesh.wire.settle();
  for (const text of texts) assert.equal(mesh.wire.countText(text), 0, `${text} crossed the link`);
}

const kept = async (): Promise<void> => {
  await shop.frontend.hands.run(post, "http://127.0.0.1:9090/recycle");
};

async function ready(pod: PodFacts): Promise<void> {
  await eventually(`${pod.name} Ready again`, async () =>
    (await findPod(mesh.client, pod.namespace, pod.name))?.ready === true ? true : undefined,
  );
}

test("ztunnel killed: connections wait and none is refused, nothing goes out in clear, then all goes on", async () => {
  const ztunnel = await ztunnelOn(mesh, "n1");
  const inPod = podNetnsPath(mesh.node("n1"), shop.frontend.uid);
  await inNetnsOf(inPod, ["sh", "-c", `echo ${FIN_TIMEOUT_S} > /proc/sys/net/ipv4/tcp_fin_timeout`]);
  for (const name of ["idle-1", "idle-2", "idle-3"])
    await shop.frontend.hands.run(openStubborn, name, shop.catalog.ipv4, PORT);
  await shop.catalog.hands.run(open, "inward", neighbour.ipv4, PORT);
  assert.equal(await shop.catalog.hands.run(ask, "inward", "one"), "e:one");
  const began = performance.now();
  await killUntilAway(mesh.node("n1"), ztunnel.uid, "istio-proxy", 2); // the kubelet waits before the second restart
  assert.equal(podPids(mesh.node("n1"), ztunnel.uid, "istio-proxy").length, 0, "ztunnel is away");
  const outcomes = await Promise.all([
    shop.frontend.hands.run(callMany, shop.catalog.ipv4, PORT, "WAITS-OUT-4", 30, 30),
    shop.frontend.hands.run(callMany, shop.catalog.ipv6, PORT, "WAITS-OUT-6", 30, 30),
    shop.frontend.hands.run(callMany, neighbour.ipv4, PORT, "WAITS-NEAR", 30, 30),
    shop.catalog.hands.run(callMany, neighbour.ipv4, PORT, "WAITS-IN", 30, 30),
  ]);
  say(`all answered ${seconds(began)} s after the kill`);
  for (const outcome of outcomes) {
    const counts = Object.fromEntries(
      [...new Set(outcome)].map((o) => [o, outcome.filter((x) => x === o).length]),
    );
    assert.deepEqual(counts, { ok: 30 });
  }
  assert.match(await shop.catalog.hands.run(endOf, "inward"), /error ECONNRESET|closed/);
  // Longer than tcp_fin_timeout: the orphaned other ends are forgotten by the kernel.
  await new Promise((resolve) => setTimeout(resolve, (FIN_TIMEOUT_S + 1) * 1_000));
  for (const name of ["idle-1", "idle-2", "idle-3"])
    for (const text of ["LATE-WORD", "LATER-WORD"]) await shop.frontend.hands.run(blurt, name, text);
  await new Promise((resolve) => setTimeout(resolve, 1_500)); // for retransmissions
  await nothingInClear("WAITS-OUT-4", "WAITS-OUT-6", "WAITS-IN", "LATE-WORD", "LATER-WORD");
  await ready(ztunnel);
  await shop.load.begin();
  await kept();
  await new Promise((resolve) => setTimeout(resolve, 500));
  await shop.load.expectNoFailure("after ztunnel's return");
});

test("no ztunnel at all: connections wait for the bound, are refused, and never pass in clear", async () => {
  const path = `${APPS}/daemonsets/ztunnel`;
  const select = (value: string | null): Promise<unknown> =>
    mesh.client.json({
      ...PATCH,
      path,
      body: { spec: { template: { spec: { nodeSelector: { "e2e.example/none": value } } } } },
    });
  await select("yes");
  await eventually(
    "no ztunnel pod",
    async () => {
      await kept(); // so that the old proxies have nothing to wait for
      return (await ztunnelPods(mesh)).length === 0 ? true : undefined;
    },
    60_000,
  );
  try {
    const began = performance.now();
    const outcomes = await shop.frontend.hands.run(callMany, shop.catalog.ipv4, PORT, "NO-ZTUNNEL", 5, 10);
    say(`without ztunnel: ${[...new Set(outcomes)].join(", ")} after ${seconds(began)} s`);
    for (const outcome of outcomes) assert.match(outcome, /^(ECONNREFUSED|ECONNRESET)$/);
    assert.notEqual(
      (await shop.intruder.hands.run(call, shop.catalog.ipv4, PORT, "FROM-OUTSIDE")).kind,
      "ok",
    );
    await nothingInClear("NO-ZTUNNEL");
    for (const pod of [shop.frontend, shop.catalog])
      assert.equal((await findPod(mesh.client, "shop", pod.name))?.ready, true, `probes of ${pod.name} pass`);
  } finally {
    await select(null);
  }
  await eventually("ztunnels Ready", async () => {
    const pods = await ztunnelPods(mesh);
    return pods.length === 2 && pods.every((pod) => pod.ready) ? true : undefined;
  });
  const outcome = await eventually("a call", async () => {
    const result = await shop.frontend.hands.run(call, shop.catalog.ipv4, PORT, "ZTUNNEL-IS-BACK");
    return result.kind === "ok" ? result : undefined;
  });
  assert.equal(outcome.reply, "e:ZTUNNEL-IS-BACK");
  await nothingInClear("ZTUNNEL-IS-BACK");
});

test("ztunnel's rolling update under load loses nothing", async () => {
  await shop.load.begin();
  const began = performance.now();
  // A connection that outlives the old proxy's drain cannot be kept by anybody: the load moves on meanwhile.
  await rollZtunnels(mesh, kept);
  say(`ztunnel updated on both nodes in ${seconds(began)} s`);
  await shop.load.expectNoFailure("ztunnel's rolling update");
});

test("the agent killed under load: nothing is lost, and the new one takes over what was captured", async () => {
  const agent = await agentOn(mesh, "n1");
  await shop.frontend.hands.run(open, "across", shop.catalog.ipv4, PORT);
  await shop.load.begin();
  // As if the agent had been killed while it captured the neighbour, and were replaced by one of another build.
  const pins = join(`/proc/${mesh.node("n1").initPid}/root/sys/fs/bpf/ambit/pods`, neighbour.uid);
  const build = readdirSync(pins).find((name) => name.startsWith("build_")) ?? "";
  rmdirSync(join(pins, "is_enrolled"));
  rmdirSync(join(pins, build));
  mkdirSync(join(pins, "build_0000000000000000"));
  killContainer(mesh.node("n1"), agent.uid, "install-cni");
  const running = (): number =>
    containerLog(mesh.node("n1"), agent, "install-cni").filter((line) => line.msg === "agent running").length;
  await eventually("the next agent runs", () => (running() >= 2 ? true : undefined));
  await ready(agent);
  await shop.load.expectNoFailure("agent killed");
  assert.equal(await shop.frontend.hands.run(ask, "across", "AGENT-KILLED"), "e:AGENT-KILLED");
  const line = containerLog(mesh.node("n1"), agent, "install-cni").findLast((l) => l.msg === "agent running");
  assert.equal(line?.["recovered"], 2, "frontend and neighbour");
  await eventually("the interrupted enrolment is finished, by programs of this build", () =>
    ["is_enrolled", build].every((name) => existsSync(join(pins, name))) ? true : undefined,
  );
  assert.equal((await neighbour.hands.run(call, shop.catalog.ipv4, PORT, "AGENT-FINISHED")).kind, "ok");
  const pod = await withHands(
    mesh,
    await runPod(mesh.client, { namespace: "shop", name: "later", node: "n1" }),
  );
  assert.equal((await pod.hands.run(call, shop.catalog.ipv4, PORT, "AGENT-NEW-POD")).kind, "ok");
  await nothingInClear("AGENT-KILLED", "AGENT-FINISHED", "AGENT-NEW-POD");
});

test("the controller away: traffic goes on, new connections too, and the log says who waits", async () => {
  const scale = (replicas: number): Promise<unknown> =>
    mesh.client.json({
      ...PATCH,
      path: `${APPS}/deployments/ambit-controller`,
      body: { spec: { replicas } },
    });
  const controllers = (): Promise<readonly PodFacts[]> =>
    listPods(mesh.client, SYSTEM, "app=ambit-controller");
  await shop.load.begin();
  let pod: HandledPod;
  await scale(0);
  try {
    await eventually(
      "no controller",
      async () => ((await controllers()).length === 0 ? true : undefined),
      60_000,
    );
    await shop.load.expectNoFailure("controller stopped");
    await shop.load.begin();
    assert.equal((await shop.frontend.hands.run(call, shop.catalog.ipv6, PORT, "NO-CONTROLLER")).kind, "ok");
    const ztunnel = await ztunnelOn(mesh, "n1");
    const log = (): ReturnType<typeof containerLog> => containerLog(mesh.node("n1"), ztunnel, "istio-proxy");
    const line = await untilLogged(
      "configuration stream ended",
      log,
      (l) => l.msg === "configuration stream ended",
    );
    assert.ok(
      typeof line["reason"] === "string" && typeof line["retry_ms"] === "number",
      JSON.stringify(line),
    );
    // A pod that nobody knows yet starts captured; its connections wait, and are then refused with a reason.
    pod = await withHands(
      mesh,
      await runPod(mesh.client, { namespace: "shop", name: "unknown", node: "n1" }),
    );
    assert.equal(pinnedPods(mesh.node("n1")).includes(pod.uid), true);
    const outcome = await pod.hands.run(call, shop.catalog.ipv4, PORT, "UNKNOWN-POD");
    assert.equal(outcome.kind, "failed");
    const refusal = await untilLogged("its refusal", log, (l) => String(l["src.addr"]).startsWith(pod.ipv4));
    assert.equal(refusal["reason"], "source-unknown", JSON.stringify(refusal));
    await shop.load.expectNoFailure("controller away");
  } finally {
    await scale(1);
  }
  await onlyPod(mesh.client, SYSTEM, "app=ambit-controller");
  await eventually("the new pod is known", async () =>
    (await pod.hands.run(call, shop.catalog.ipv4, PORT, "KNOWN-AT-LAST")).kind === "ok" ? true : undefined,
  );
  await shop.load.expectNoFailure("controller back");
  await nothingInClear("NO-CONTROLLER", "UNKNOWN-POD", "KNOWN-AT-LAST");
});

test("the API away from every node: traffic goes on, the log says what waits, and afterwards changes arrive", async () => {
  const agent = await agentOn(mesh, "n1");
  const log = (): ReturnType<typeof containerLog> => containerLog(mesh.node("n1"), agent, "install-cni");
  const before = log().length;
  await shop.load.begin();
  const began = performance.now();
  await withoutApi(mesh, async () => {
    assert.equal((await shop.frontend.hands.run(call, shop.catalog.ipv4, PORT, "NO-API")).kind, "ok");
    await mesh.client.json({
      method: "PATCH",
      path: kindPath(NAMESPACE, { name: "street" }),
      contentType: "application/merge-patch+json",
      body: { metadata: { labels: { "istio.io/dataplane-mode": "ambient" } } },
    });
    const line = await untilLogged(
      "the agent says what it misses",
      () => log().slice(before),
      (l) => l.msg === "watch interrupted",
    );
    assert.ok(typeof line["kind"] === "string" && typeof line["error"] === "string", JSON.stringify(line));
    await new Promise((resolve) => setTimeout(resolve, 1_500)); // some more load without an API
    say(`the agent noticed after ${seconds(began)} s`);
  });
  await shop.load.expectNoFailure("API away");
  await podsInMesh(mesh, [shop.intruder]);
  assert.equal((await shop.intruder.hands.run(call, shop.catalog.ipv4, PORT, "API-IS-BACK")).kind, "ok");
  await nothingInClear("NO-API", "API-IS-BACK");
});

test("a pod's device made anew is captured before it carries anything", async () => {
  const node = mesh.node("n1");
  const inPod = podNetnsPath(node, neighbour.uid);
  const inNode = (command: readonly string[]): Promise<string> => inNetnsOf(node.netns, command);
  const routes = await inNetnsOf(inPod, ["ip", "route", "show", "default"]);
  const gateway = /via (\S+)/.exec(routes)?.[1] ?? "";
  const bridge = /dev (\S+)/.exec(await inNode(["ip", "route", "get", neighbour.ipv4]))?.[1] ?? "";
  await inNode(["ip", "link", "add", "e2e-peer", "type", "veth", "peer", "name", "e2e-pod"]);
  const [pid] = podPids(node, neighbour.uid);
  await inNode(["ip", "link", "set", "e2e-pod", "netns", String(pid)]);
  await inNode(["ip", "link", "set", "e2e-peer", "master", bridge, "up"]);
  for (const command of [
    "ip link del eth0",
    "ip link set e2e-pod name eth0",
    `ip addr add ${neighbour.ipv4}/24 dev eth0`,
    "ip link set eth0 up",
    `ip route add default via ${gateway}`,
  ])
    await inNetnsOf(inPod, command.split(" "));
  const outcome = await eventually("a call through the new device", async () => {
    const result = await neighbour.hands.run(call, shop.catalog.ipv4, PORT, "NEW-DEVICE");
    return result.kind === "ok" ? result : undefined;
  });
  assert.equal(outcome.local, neighbour.ipv4);
  await nothingInClear("NEW-DEVICE");
  const agent = await agentOn(mesh, "n1");
  const line = await untilLogged(
    "device changed",
    () => containerLog(node, agent, "install-cni"),
    (l) => l.msg === "device of a captured pod changed" && l["kind"] === "attached",
  );
  assert.equal(line["pod"], "shop/neighbour");
});

test("everything of a node killed at once comes back captured", async () => {
  const node = mesh.node("n1");
  const pods = (
    await Promise.all(["shop", SYSTEM].map((namespace) => listPods(mesh.client, namespace)))
  ).flat();
  const here = pods.filter((pod) => pod.node === "n1" && pod.phase === "Running");
  const began = performance.now();
  for (const pod of here) killContainer(node, pod.uid, pod.container);
  for (const pod of here)
    await eventually(`${pod.name} was restarted`, async () => {
      const now = await findPod(mesh.client, pod.namespace, pod.name);
      return now?.ready === true && now.restarts > pod.restarts ? true : undefined;
    });
  say(`${here.length} pods of n1 Ready again after ${seconds(began)} s`);
  const frontend = await withHands(mesh, await onlyPod(mesh.client, "shop", "app=frontend"));
  assert.equal(frontend.uid, shop.frontend.uid, "the same pod, its containers made anew");
  await eventually("a call", async () =>
    (await frontend.hands.run(call, shop.catalog.ipv4, PORT, "AFTER-THE-CRASH")).kind === "ok"
      ? true
      : undefined,
  );
  await nothingInClear("AFTER-THE-CRASH");
});
