/**
 * The data path as a whole, without a cluster: pods in network namespaces on two nodes, the kernel's capture, two
 * ztunnels, a watcher on the link between the nodes. State and certificates come from the test.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import type { Service } from "#core/model/service.ts";
import type { Workload } from "#core/model/workload.ts";
import { aService, anAuthorizationOf, aStrictPolicy, aWorkload } from "#core/testing/builders.ts";
import type { Attachment, NodeCapture } from "#istio-cni/capture/capture.ts";
import { ask, call, connect, type EchoServer, startEcho } from "#istio-cni/capture/testing/apps.ts";
import {
  attachmentsUnderTest,
  createTopology,
  type Pod,
  skipWithoutRoot,
  type Topology,
} from "#istio-cni/capture/testing/topology.ts";
import { type Wire, watchWire } from "#istio-cni/capture/testing/wire.ts";
import { netnsPodSockets } from "#ztunnel/inpod/netns-socket-factory.ts";
import { eventually } from "#ztunnel/test/apps.ts";
import { type LogLine, TestMesh, type TestNode } from "#ztunnel/test/test-mesh.ts";
import { openNetns } from "#core/linux/netns.ts";

const skip = skipWithoutRoot();
const PORT = 8080;

for (const attachment of attachmentsUnderTest()) {
  describe(
    `captured pods and ztunnels by ${attachment}`,
    { skip, concurrency: false, timeout: 120_000 },
    () => suite(attachment),
  );
}

function suite(attachment: Attachment): void {
  let t: Topology;
  let capture: NodeCapture;
  let mesh: TestMesh;
  let nodes: Readonly<Record<"n1" | "n2", TestNode>>;
  let wire: Wire;
  let echoes: Readonly<Record<"a" | "b" | "c", EchoServer>>;

  const workload = (pod: Pod, node: TestNode, given: Partial<Workload> = {}): Workload =>
    aWorkload({
      name: pod.name,
      serviceAccount: pod.name,
      node: node.name,
      addresses: [pod.ipv4, pod.ipv6],
      ...given,
    });

  before(async () => {
    t = createTopology();
    capture = t.capture(attachment);
    wire = watchWire(t.n1, "u0");
    echoes = {
      a: startEcho(t.a.netns, PORT),
      b: startEcho(t.b.netns, PORT),
      c: startEcho(t.c.netns, PORT),
    };
    mesh = new TestMesh(chooseBackend());
    nodes = { n1: mesh.node(), n2: mesh.node() };
    for (const [pod, node] of [
      [t.a, nodes.n1],
      [t.b, nodes.n1],
      [t.c, nodes.n2],
    ] as const) {
      const described = workload(pod, node);
      const netns = openNetns(`/run/netns/${t.netnsName(pod.name)}`);
      await node.start(described, netnsPodSockets(mesh.backend, netns));
      mesh.commit(described);
    }
  });
  after(async () => {
    await mesh.close();
    for (const echo of Object.values(echoes)) echo.close();
    wire.close();
    t.close();
  });

  const lines = (node: TestNode, direction: string): readonly LogLine[] =>
    node.access().filter((line) => line["direction"] === direction && line["protocol"] !== "tcp");

  test("before enrolment the wire shows clear text: the watcher can see it", async () => {
    assert.equal((await call(t.a.netns, t.c.ipv4, PORT)).kind, "ok");
    await wire.settle();
    assert.ok(wire.countText("HELLO-CLEAR") > 0);
  });

  test("pods with real ztunnels enrol, self-test included", async () => {
    for (const pod of [t.a, t.b, t.c]) {
      const outcome = await capture.enrolPod(pod.target);
      assert.equal(outcome.kind, "enrolled", JSON.stringify(outcome));
    }
  });

  test("pod to pod across nodes: only TLS on port 15008, true addresses at both ends", async () => {
    await wire.settle();
    wire.clear();
    for (const [host, own] of [
      [t.c.ipv4, t.a.ipv4],
      [t.c.ipv6, t.a.ipv6],
    ] as const) {
      const before = echoes.c.peers.length;
      const result = await call(t.a.netns, host, PORT);
      assert.deepEqual(result, { kind: "ok", reply: "e:HELLO-CLEAR", local: own, remote: host });
      assert.deepEqual(echoes.c.peers.slice(before), [own]);
    }
    await wire.settle();
    assert.equal(wire.countText("HELLO-CLEAR"), 0);
    assert.equal(wire.countPort(PORT), 0);
    assert.ok(wire.countPort(15_008) > 0);
    const inbound = await eventually("two inbound lines", () => {
      const found = lines(nodes.n2, "inbound");
      return found.length === 2 && found;
    });
    for (const line of inbound) {
      assert.equal(line["src.identity"], "spiffe://cluster.local/ns/default/sa/a");
      assert.equal(line["dst.identity"], "spiffe://cluster.local/ns/default/sa/c");
      assert.equal(line["error"], undefined);
    }
  });

  test("pod to pod on one node skips the tunnel, with true addresses", async () => {
    const before = echoes.b.peers.length;
    const result = await call(t.a.netns, t.b.ipv4, PORT);
    assert.deepEqual(result, { kind: "ok", reply: "e:HELLO-CLEAR", local: t.a.ipv4, remote: t.b.ipv4 });
    assert.deepEqual(echoes.b.peers.slice(before), [t.a.ipv4]);
    await eventually("a line", () => nodes.n1.access().find((line) => line["protocol"] === "local"));
  });

  test("a service address is translated, and the application still sees what it dialled", async () => {
    const vip = "10.96.77.7";
    const service: Service = aService({
      name: "c",
      vips: [{ network: "", ip: vip as never }],
      ports: [{ servicePort: 80, targetPort: PORT, appProtocol: "unknown" }],
    });
    const ports: ReadonlyMap<number, number> = new Map();
    const services = new Map([[`default/${service.hostname}` as never, ports]]);
    mesh.commit(service, workload(t.c, nodes.n2, { services }));
    const result = await call(t.a.netns, vip, 80);
    assert.deepEqual(result, { kind: "ok", reply: "e:HELLO-CLEAR", local: t.a.ipv4, remote: vip });
  });

  test("a pod reaches itself by its service, under its own identity", async () => {
    const vip = "10.96.77.8";
    const service: Service = aService({
      name: "a",
      vips: [{ network: "", ip: vip as never }],
      ports: [{ servicePort: 80, targetPort: PORT, appProtocol: "unknown" }],
    });
    const ports: ReadonlyMap<number, number> = new Map();
    const services = new Map([[`default/${service.hostname}` as never, ports]]);
    mesh.commit(service, workload(t.a, nodes.n1, { services }));
    const result = await call(t.a.netns, vip, 80);
    assert.deepEqual(result, { kind: "ok", reply: "e:HELLO-CLEAR", local: t.a.ipv4, remote: vip });
  });

  test("plaintext from outside passes without STRICT and is refused with it; tunnels are not", async () => {
    assert.equal((await call(t.n2, t.a.ipv4, PORT)).kind, "ok");
    const strict = aStrictPolicy({ scope: "global" });
    mesh.commit(strict);
    const refused = await call(t.n2, t.a.ipv4, PORT);
    assert.equal(refused.kind, "failed");
    assert.equal((await call(t.a.netns, t.c.ipv4, PORT)).kind, "ok");
    mesh.removePolicy(`${strict.namespace}/${strict.name}`);
  });

  test("a policy ends live connections and refuses new ones, across nodes and on one node", async () => {
    const remote = await connect(t.a.netns, t.c.ipv4, PORT);
    const local = await connect(t.a.netns, t.b.ipv6, PORT);
    assert.equal(await ask(remote, "one"), "e:one");
    assert.equal(await ask(local, "one"), "e:one");
    const ended = [remote, local].map(
      (socket) =>
        new Promise<void>((resolve) => socket.on("error", () => undefined).on("close", () => resolve())),
    );
    const deny = anAuthorizationOf(
      { principals: { any: [{ kind: "suffix", value: "/sa/a" }], none: [] } },
      { action: "deny", name: "not-a" },
    );
    mesh.commit(deny);
    await Promise.all(ended);
    for (const host of [t.c.ipv4, t.c.ipv6, t.b.ipv4]) {
      assert.equal((await call(t.a.netns, host, PORT)).kind, "failed", host);
    }
    mesh.removePolicy("default/not-a");
    assert.equal((await call(t.a.netns, t.c.ipv4, PORT)).kind, "ok");
    assert.deepEqual([...nodes.n1.problems(), ...nodes.n2.problems()], []);
  });

  test("nothing of it was in clear on the wire", async () => {
    await wire.settle();
    // What came from outside the mesh is plaintext by nature; it went to pod a.
    assert.equal(wire.countText("e:one"), 0);
  });
}
