/**
 * The main job: a labelled namespace talks mTLS between nodes, without a restart and without a failed request, and leaves
 * again the same way. Once per attachment and per handle backend.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually } from "../framework/eventually.ts";
import { meshUp, type Mesh, seconds } from "../framework/mesh.ts";
import { get, post } from "../framework/http-moves.ts";
import { ask, call, callersOf, endOf, hangUp, open, serveEcho } from "../framework/tcp-moves.ts";
import {
  captureTraces,
  containerLog,
  type LogLine,
  pinnedPods,
  podNetnsPath,
} from "../framework/node-inside.ts";
import { applyYaml, listPods, runPod } from "../framework/pods.ts";
import { say } from "../framework/say.ts";
import { enrol, type HandledPod, openShop, type Shop, unEnrol, withHands } from "../framework/shop.ts";
import { TLS_1_3 } from "../framework/tls-hello.ts";
import {
  agentOn,
  everyZtunnel,
  podsInMesh,
  policyKnown,
  SYSTEM,
  ztunnelOn,
} from "../framework/ztunnel-state.ts";

interface Variant {
  readonly capture: "tcx" | "clsact";
  readonly handles: "raw" | "public";
}

const VARIANTS: readonly Variant[] = [
  { capture: "tcx", handles: "raw" },
  { capture: "clsact", handles: "public" },
];
const ECHO_PORT = 9_000;

for (const variant of VARIANTS) {
  describe(
    `captured by ${variant.capture}, ${variant.handles} handles`,
    { concurrency: false, timeout: 180_000 },
    () => suite(variant),
  );
}

function suite(variant: Variant): void {
  let mesh: Mesh;
  let shop: Shop;
  let neighbour: HandledPod;

  before(async () => {
    const env = {
      "istio-cni-node": { AMBIT_CAPTURE: variant.capture },
      ztunnel: { AMBIT_HANDLES: variant.handles },
    };
    mesh = await meshUp({ env });
    shop = await openShop(mesh);
    neighbour = await withHands(
      mesh,
      await runPod(mesh.client, { namespace: "shop", name: "neighbour", node: "n1" }),
    );
    for (const pod of [neighbour, shop.catalog]) await pod.hands.run(serveEcho, "echo", ECHO_PORT);
  });
  after(() => mesh?.down());

  const accessLog = async (node: string): Promise<readonly LogLine[]> =>
    containerLog(mesh.node(node), await ztunnelOn(mesh, node), "istio-proxy").filter(
      (line) => line.scope === "access",
    );

  /** Connections between shop pods opened since then. */
  const newConnections = (sinceMs: number): ReturnType<Mesh["wire"]["connections"]> => {
    const ours = new Set<string>([...shop.frontend.ips, ...shop.catalog.ips, ...neighbour.ips]);
    return mesh.wire
      .connections()
      .filter((c) => (c.openedMs ?? 0) > sinceMs && ours.has(c.clientIp) && ours.has(c.serverIp));
  };

  test("the settings asked for are the ones in use", async () => {
    const agent = containerLog(mesh.node("n1"), await agentOn(mesh, "n1"), "install-cni");
    assert.equal(agent.find((line) => line.msg === "agent running")?.["attachment"], variant.capture);
    const ztunnel = containerLog(mesh.node("n1"), await ztunnelOn(mesh, "n1"), "istio-proxy");
    assert.ok(
      ztunnel.some((line) => JSON.stringify(line).includes(variant.handles)),
      "ztunnel names its backend",
    );
  });

  test("before the label the wire shows readable requests: the watcher can see them", async () => {
    for (const address of shop.catalog.ips) {
      const text = `CLEAR-TEXT-${address}`;
      assert.equal((await shop.frontend.hands.run(call, address, ECHO_PORT, text)).kind, "ok");
      await mesh.wire.settle();
      assert.ok(mesh.wire.countText(text) > 0, `${text} was not seen`);
    }
    assert.ok(mesh.wire.countText("GET /items") > 0);
  });

  test("labelled under load: no request fails, and new connections are TLS 1.3 to port 15008 alone", async () => {
    await shop.frontend.hands.run(open, "older", shop.catalog.ipv4, ECHO_PORT);
    await shop.load.begin();
    const began = performance.now();
    await enrol(mesh, "shop");
    say(`enrolled everywhere after ${seconds(began)} s`);
    await shop.frontend.hands.run(post, "http://127.0.0.1:9090/recycle");
    await shop.load.expectNoFailure("label under load");
    const enrolledMs = performance.now();
    await shop.load.begin();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await shop.load.expectNoFailure("enrolled");
    await mesh.wire.settle();
    assert.equal(mesh.wire.countText("GET /items", enrolledMs), 0, "a request in clear");
    for (const c of newConnections(enrolledMs))
      assert.equal(c.serverPort, 15_008, `a connection from ${c.client} to ${c.server}`);
    // Tunnels are kept: the ones in use may have been opened while the label took effect.
    const tunnels = newConnections(began).filter((c) => c.serverPort === 15_008);
    assert.ok(tunnels.length > 0, "no tunnel was seen");
    for (const c of tunnels) assert.deepEqual(c.hello, { kind: "server-hello", version: TLS_1_3 });
    assert.equal(await shop.frontend.hands.run(ask, "older", "still here"), "e:still here");
    const traces = (await captureTraces(podNetnsPath(mesh.node("n1"), shop.frontend.uid))).join("\n");
    const program = variant.capture === "tcx" ? /tcx eth0 egress/ : /tc eth0 egress/;
    for (const trace of [/fwmark 0x77/, /table 100/, /sk_lookup/, program, /listener .*:15008/])
      assert.match(traces, trace);
  });

  test("pod addresses and services, IPv4 and IPv6: encrypted, and both ends see true addresses", async () => {
    for (const [from, to] of [
      [shop.frontend.ipv4, shop.catalog.ipv4],
      [shop.frontend.ipv6, shop.catalog.ipv6],
    ] as const) {
      const text = `SECRET-${to}`;
      const outcome = await shop.frontend.hands.run(call, to, ECHO_PORT, text);
      assert.deepEqual(outcome, { kind: "ok", reply: `e:${text}`, local: from, remote: to });
      assert.equal((await shop.catalog.hands.run(callersOf, "echo")).at(-1), from);
      await mesh.wire.settle();
      assert.equal(mesh.wire.countText(text), 0);
    }
    const { status, body } = await shop.frontend.hands.run(get, "http://catalog.shop:8080/items?by=service");
    assert.equal(status, 200);
    const seen = (JSON.parse(body) as { readonly client: string }).client.replace(/^::ffff:/, "");
    assert.ok(
      shop.frontend.ips.some((own) => own === seen),
      `the server saw ${seen}`,
    );
    await mesh.wire.settle();
    assert.equal(mesh.wire.countText("by=service"), 0);
  });

  test("each connection leaves one line with both identities and serials at both ends", async () => {
    const lines = await eventually("access lines", async () => {
      const [outbound, inbound] = [await accessLog("n1"), await accessLog("n2")];
      const out = outbound.find((l) => String(l["dst.hbone_addr"]).endsWith(`:${ECHO_PORT}`));
      const arrived = inbound.find((l) => String(l["dst.hbone_addr"]).endsWith(`:${ECHO_PORT}`));
      return out !== undefined && arrived !== undefined ? { out, arrived } : undefined;
    });
    for (const line of [lines.out, lines.arrived]) {
      assert.equal(line["src.identity"], "spiffe://cluster.local/ns/shop/sa/frontend");
      assert.equal(line["dst.identity"], "spiffe://cluster.local/ns/shop/sa/catalog");
      assert.equal(line["src.namespace"], "shop");
      assert.equal(line["error"], undefined);
    }
    assert.equal(lines.out["src.cert_serial"], lines.arrived["src.cert_serial"]);
    assert.equal(lines.out["dst.cert_serial"], lines.arrived["dst.cert_serial"]);
  });

  test("two pods of one node are joined in one ztunnel, under the same policies", async () => {
    for (const [from, to] of [
      [shop.frontend.ipv4, neighbour.ipv4],
      [shop.frontend.ipv6, neighbour.ipv6],
    ] as const) {
      const outcome = await shop.frontend.hands.run(call, to, ECHO_PORT, "near");
      assert.deepEqual(outcome, { kind: "ok", reply: "e:near", local: from, remote: to });
      assert.equal((await neighbour.hands.run(callersOf, "echo")).at(-1), from);
    }
    await eventually("a local line", async () =>
      (await accessLog("n1")).find((l) => l["protocol"] === "local"),
    );
    await applyYaml(mesh.client, DENY_NEIGHBOUR);
    await policyKnown(mesh, "shop/not-the-frontend");
    const denied = await shop.frontend.hands.run(call, neighbour.ipv4, ECHO_PORT, "near");
    assert.equal(denied.kind, "failed");
    const line = await eventually("the denial", async () =>
      (await accessLog("n1")).find((l) => l["policy"] === "shop/not-the-frontend"),
    );
    assert.equal(line["protocol"], "local");
    assert.equal(line["src.identity"], "spiffe://cluster.local/ns/shop/sa/frontend");
    await mesh.kubectl.delete(DENY_NEIGHBOUR, "authorizationpolicy not-the-frontend");
    await policyKnown(mesh, "shop/not-the-frontend", false);
    assert.equal((await shop.frontend.hands.run(call, neighbour.ipv4, ECHO_PORT, "near")).kind, "ok");
  });

  test("un-enrolled under load: no request fails, captured connections live on, then nothing is left", async () => {
    await shop.frontend.hands.run(open, "captured", shop.catalog.ipv4, ECHO_PORT);
    assert.equal(await shop.frontend.hands.run(ask, "captured", "one"), "e:one");
    await shop.load.begin();
    const began = performance.now();
    await unEnrol(mesh, "shop");
    assert.equal(await shop.frontend.hands.run(ask, "captured", "CAPTURED-FOR-LIFE"), "e:CAPTURED-FOR-LIFE");
    await mesh.wire.settle();
    assert.equal(mesh.wire.countText("CAPTURED-FOR-LIFE"), 0);
    await shop.frontend.hands.run(post, "http://127.0.0.1:9090/recycle");
    await shop.frontend.hands.run(hangUp, "captured");
    await shop.frontend.hands.run(endOf, "captured");
    for (const node of ["n1", "n2"])
      await eventually(`no pins on ${node}`, () =>
        pinnedPods(mesh.node(node)).length === 0 ? true : undefined,
      );
    say(`un-enrolled, nothing left after ${seconds(began)} s`);
    await shop.load.expectNoFailure("un-enrolled under load");
    for (const pod of [shop.frontend, shop.catalog, neighbour]) {
      const netns = podNetnsPath(mesh.node(pod.node), pod.uid);
      await eventually(`nothing left in ${pod.name}`, async () => {
        const traces = await captureTraces(netns);
        if (traces.length > 0) throw new Error(traces.join("; "));
        return true;
      });
    }
    assert.equal(await shop.frontend.hands.run(ask, "older", "at last"), "e:at last");
    await mesh.wire.settle();
    assert.ok(mesh.wire.countText("at last") > 0, "the watcher still sees clear text");
  });

  test("the capture's own test connections are gone from ztunnel", async () => {
    await everyZtunnel(
      mesh,
      "no test connections",
      (dump) => !/192\.0\.2\.1:9|2001:db8::1\]:9/.test(JSON.stringify(dump["workloadState"])),
    );
  });

  test("enrolled again, it is encrypted again", async () => {
    await enrol(mesh, "shop");
    await podsInMesh(mesh, [shop.frontend, shop.catalog]);
    assert.equal(
      (await shop.frontend.hands.run(call, shop.catalog.ipv6, ECHO_PORT, "SECRET-AGAIN")).kind,
      "ok",
    );
    await mesh.wire.settle();
    assert.equal(mesh.wire.countText("SECRET-AGAIN"), 0);
  });

  test("no part of the mesh logged an error in all this", async () => {
    const containers = [
      ["app=ztunnel", "istio-proxy"],
      ["k8s-app=istio-cni-node", "install-cni"],
      ["app=ambit-controller", "controller"],
    ] as const;
    for (const [labels, container] of containers) {
      for (const pod of await listPods(mesh.client, SYSTEM, labels)) {
        const lines = containerLog(mesh.node(pod.node), pod, container).filter(
          (line) => line.scope !== "access",
        );
        assert.deepEqual(
          lines.filter((line) => line.level === "error" || line.level === "fatal"),
          [],
        );
        for (const line of lines.filter((l) => l.level === "warn").slice(0, 5))
          say(`${pod.name} warned: ${JSON.stringify(line)}`);
      }
    }
  });
}

const DENY_NEIGHBOUR = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: not-the-frontend, namespace: shop }
spec:
  selector: { matchLabels: { app: neighbour } }
  action: DENY
  rules: [{ from: [{ source: { principals: [cluster.local/ns/shop/sa/frontend] } }] }]
`;
