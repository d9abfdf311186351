/**
 * Pods that come, fail and go in an enrolled namespace: captured before their first process, refused a start when they
 * cannot be, and gone without a trace.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { jsonObject } from "#core/k8s/json-read.ts";
import { kindPath, POD } from "#core/k8s/kinds.ts";
import { eventually } from "../framework/eventually.ts";
import { type Mesh, meshUp, seconds } from "../framework/mesh.ts";
import { call, callersOf, serveEcho } from "../framework/tcp-moves.ts";
import { killUntilAway, pinnedPods, podPids } from "../framework/node-inside.ts";
import {
  applyYaml,
  createPod,
  findPod,
  type PodFacts,
  podEvents,
  podReady,
  type PodSpec,
  removePod,
  runPod,
} from "../framework/pods.ts";
import { say } from "../framework/say.ts";
import { enrol, type HandledPod, withHands } from "../framework/shop.ts";
import { agentOn, dumpOf, podsInMesh, ztunnelOn } from "../framework/ztunnel-state.ts";

const PORT = 9_000;
const NODE = "/opt/ambit/node/bin/node";

let mesh: Mesh;
let server: HandledPod;

before(async () => {
  mesh = await meshUp();
  const names = ["shop", "street"].map(
    (name) => `apiVersion: v1\nkind: Namespace\nmetadata: { name: ${name} }\n---\n`,
  );
  await applyYaml(mesh.client, names.join(""));
  server = await withHands(
    mesh,
    await runPod(mesh.client, { namespace: "shop", name: "server", node: "n2" }),
  );
  await server.hands.run(serveEcho, "echo", PORT);
  await enrol(mesh, "shop");
});
after(() => mesh?.down());

/** A pod whose first process connects at once, says `text`, and ends well only if it was answered. */
function hasty(namespace: string, name: string, text: string): PodSpec {
  const script = `
    const s = require("node:net").connect(${PORT}, "${server.ipv4}", () => s.write("${text}"));
    s.on("error", (e) => { console.log(e.message); process.exit(1); });
    s.on("data", (d) => process.exit(String(d) === "e:${text}" ? 0 : 2));`;
  return {
    namespace,
    name,
    node: "n1",
    image: "ambit/host",
    spec: { restartPolicy: "Never" },
    container: { command: [NODE, "-e", script] },
  };
}

function ended(name: string, namespace = "shop"): Promise<PodFacts> {
  return eventually(`${name} ended`, async () => {
    const pod = await findPod(mesh.client, namespace, name);
    if (pod?.phase === "Succeeded" || pod?.phase === "Failed") return pod;
    throw new Error(
      `${pod?.phase} ${pod?.waiting} ${(await podEvents(mesh.client, { namespace, name })).at(-1)}`,
    );
  });
}

test("the watcher sees what an un-enrolled pod says first", async () => {
  await createPod(mesh.client, hasty("street", "clear", "FIRST-WORD-CLEAR"));
  assert.equal((await ended("clear", "street")).phase, "Succeeded");
  await mesh.wire.settle();
  assert.ok(mesh.wire.countText("FIRST-WORD-CLEAR") > 0);
});

test("a new pod is captured before its first process connects, many at once", async () => {
  const names = Array.from({ length: 8 }, (_, i) => `hasty-${i}`);
  await Promise.all(names.map((name) => createPod(mesh.client, hasty("shop", name, `FIRST-WORD-${name}`))));
  for (const name of names) assert.equal((await ended(name)).phase, "Succeeded", name);
  await mesh.wire.settle();
  for (const name of names) assert.equal(mesh.wire.countText(`FIRST-WORD-${name}`), 0, name);
  await Promise.all(names.map((name) => removePod(mesh.client, { namespace: "shop", name })));
});

test("who is captured: labels of pods win over those of namespaces; hostNetwork never", async () => {
  const label = (value: string): PodSpec["labels"] => ({ "istio.io/dataplane-mode": value });
  const pods = await Promise.all([
    runPod(mesh.client, { namespace: "shop", name: "out", node: "n1", labels: label("none") ?? {} }),
    runPod(mesh.client, { namespace: "street", name: "in", node: "n1", labels: label("ambient") ?? {} }),
    runPod(mesh.client, { namespace: "shop", name: "host", node: "n1", spec: { hostNetwork: true } }),
  ]);
  const [out, opted, host] = pods;
  await eventually(
    "opted in",
    async () => (await findPod(mesh.client, "street", "in"))?.captured === true || undefined,
  );
  const pinned = pinnedPods(mesh.node("n1"));
  assert.deepEqual(
    [out, opted, host].map((pod) => pinned.includes(pod?.uid ?? "")),
    [false, true, false],
  );
  await Promise.all(pods.map((pod) => removePod(mesh.client, pod)));
});

test("a running pod joins and leaves with its own label", async () => {
  const pod = await withHands(
    mesh,
    await runPod(mesh.client, { namespace: "street", name: "joins", node: "n1" }),
  );
  const relabel = (value: string | null): Promise<unknown> =>
    mesh.client.json({
      method: "PATCH",
      path: kindPath(POD, { namespace: "street", name: "joins" }),
      contentType: "application/merge-patch+json",
      body: { metadata: { labels: { "istio.io/dataplane-mode": value } } },
    });
  await relabel("ambient");
  await podsInMesh(mesh, [pod]);
  assert.equal((await pod.hands.run(call, server.ipv4, PORT, "JOINED-AND-HIDDEN")).kind, "ok");
  await relabel(null);
  await eventually("left", () => (pinnedPods(mesh.node("n1")).includes(pod.uid) ? undefined : true));
  assert.equal((await pod.hands.run(call, server.ipv4, PORT, "LEFT-AND-CLEAR")).kind, "ok");
  await mesh.wire.settle();
  assert.equal(mesh.wire.countText("JOINED-AND-HIDDEN"), 0);
  assert.ok(mesh.wire.countText("LEFT-AND-CLEAR") > 0);
  await removePod(mesh.client, pod);
});

test("a crash-looping pod is captured in every life", async () => {
  const script = `
    const s = require("node:net").connect(${PORT}, "${server.ipv4}", () => s.write("CRASHING"));
    s.on("data", () => process.exit(3)); s.on("error", () => process.exit(4));`;
  await createPod(mesh.client, {
    namespace: "shop",
    name: "crashes",
    node: "n1",
    image: "ambit/host",
    container: { command: [NODE, "-e", script] },
  });
  const pod = await eventually("three lives", async () => {
    const now = await findPod(mesh.client, "shop", "crashes");
    return now !== undefined && now.restarts >= 2 ? now : undefined;
  });
  await mesh.wire.settle();
  assert.equal(mesh.wire.countText("CRASHING"), 0);
  assert.ok((await server.hands.run(callersOf, "echo")).filter((from) => from === pod.ipv4).length >= 2);
  await removePod(mesh.client, pod);
  await eventually("no pins", () => (pinnedPods(mesh.node("n1")).includes(pod.uid) ? undefined : true));
});

test("a pod that cannot be captured does not start, and its event says why", async () => {
  // The admission fence would refuse it before: this is the second line.
  const fence = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/ambit-probe-host";
  const binding = jsonObject(await mesh.client.json({ method: "GET", path: fence }));
  await mesh.client.json({ method: "DELETE", path: fence });
  try {
    const probe = { httpGet: { host: server.ipv4, port: 8_080, path: "/" } };
    await createPod(mesh.client, {
      namespace: "shop",
      name: "prober",
      node: "n1",
      container: { livenessProbe: probe },
    });
    const event = await eventually("an event", async () =>
      (await podEvents(mesh.client, { namespace: "shop", name: "prober" })).find((e) =>
        e.includes("ambit-cni"),
      ),
    );
    assert.match(
      event,
      /^FailedCreatePodSandBox: .*ambit-cni: .*names another host \(10\.244\.2\.\d+\); remove the host field/,
    );
    const pod = await findPod(mesh.client, "shop", "prober");
    assert.equal(pod?.phase, "Pending");
    assert.deepEqual(podPids(mesh.node("n1"), pod.uid, "main"), []);
    assert.equal(pinnedPods(mesh.node("n1")).includes(pod.uid), false);
    say(event);
  } finally {
    await removePod(mesh.client, { namespace: "shop", name: "prober" });
    const { apiVersion, kind, spec } = binding;
    const body = { apiVersion, kind, spec, metadata: { name: "ambit-probe-host" } };
    await mesh.client.json({ method: "POST", path: fence.replace(/\/[^/]*$/, ""), body });
  }
});

test("while the agent is down no enrolled pod starts, and its event says so; afterwards it starts captured", async () => {
  const agent = await agentOn(mesh, "n1");
  // The kubelet waits longer after each crash; in that time the agent is surely away.
  await killUntilAway(mesh.node("n1"), agent.uid, "install-cni", 3);
  const began = performance.now();
  await createPod(mesh.client, { namespace: "shop", name: "waits", node: "n1" });
  const event = await eventually("an event", async () =>
    (await podEvents(mesh.client, { namespace: "shop", name: "waits" })).find((e) => e.includes("ambit-cni")),
  );
  assert.match(event, /^FailedCreatePodSandBox: .*ambit-cni: .*agent/);
  say(event);
  const pod = await withHands(mesh, await podReady(mesh.client, "shop", "waits"));
  say(`started ${seconds(began)} s after its creation`);
  assert.equal(pinnedPods(mesh.node("n1")).includes(pod.uid), true);
  assert.equal((await pod.hands.run(call, server.ipv4, PORT, "AFTER-THE-AGENT")).kind, "ok");
  await mesh.wire.settle();
  assert.equal(mesh.wire.countText("AFTER-THE-AGENT"), 0);
  await removePod(mesh.client, pod);
});

test("pods that go leave nothing: no pins, no listeners, no descriptors in agent and ztunnel", async () => {
  const [agent, ztunnel] = [await agentOn(mesh, "n1"), await ztunnelOn(mesh, "n1")];
  const open = (): readonly number[] => [
    descriptors(agent, "install-cni"),
    descriptors(ztunnel, "istio-proxy"),
  ];
  const names = Array.from({ length: 6 }, (_, i) => `brief-${i}`);
  const comeAndGo = async (): Promise<void> => {
    const pods = await Promise.all(
      names.map((name) => runPod(mesh.client, { namespace: "shop", name, node: "n1" })),
    );
    const hands = await Promise.all(pods.map((pod) => withHands(mesh, pod)));
    for (const pod of hands) assert.equal((await pod.hands.run(call, server.ipv4, PORT, "x")).kind, "ok");
    await Promise.all(pods.map((pod) => removePod(mesh.client, pod)));
    await eventually("no pins", () => {
      const left = pinnedPods(mesh.node("n1"));
      return pods.some((pod) => left.includes(pod.uid)) ? undefined : true;
    });
    await eventually("forgotten by ztunnel", async () => {
      const text = JSON.stringify((await dumpOf(mesh, ztunnel))["workloadState"]);
      return pods.some((pod) => text.includes(pod.uid)) ? undefined : true;
    });
  };
  await comeAndGo(); // warms up what is kept for good
  await settled(open);
  const before = open();
  await comeAndGo();
  const after = await eventually("descriptors closed", () => {
    const now = open();
    // A leak would be at least one per pod; a pooled connection to the API may be one more or less.
    if (now.every((count, i) => count < (before[i] ?? 0) + names.length / 2)) return now;
    throw new Error(
      `agent and ztunnel have ${now.join(" and ")} descriptors, before ${before.join(" and ")}`,
    );
  });
  say(
    `descriptors of agent and ztunnel: ${before.join(" and ")} before, ${after.join(" and ")} after six pods came and went`,
  );
});

function descriptors(pod: PodFacts, container: string): number {
  const counts = podPids(mesh.node(pod.node), pod.uid, container).map(
    (pid) => readdirSync(`/proc/${pid}/fd`).length,
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Waits until the counts stay the same for a while. */
async function settled(counts: () => readonly number[]): Promise<void> {
  let last = "";
  await eventually("counts settle", async () => {
    const now = counts().join();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const same = now === counts().join() && now === last;
    last = now;
    return same ? true : undefined;
  });
}
