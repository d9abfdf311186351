/**
 * Attackers inside the cluster: pods that speak to the mesh's ports and sockets as somebody else, and applications that
 * take its ports. Each is refused, counted or logged, and nobody else notices.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { kindPath, POD } from "#core/k8s/kinds.ts";
import { eventually } from "../framework/eventually.ts";
import { type Forger, forger } from "../framework/forgery.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { get } from "../framework/http-moves.ts";
import { ask, call, hangUp, open, serveEcho, stopServing, tell } from "../framework/tcp-moves.ts";
import { knock, type TlsCredentials } from "../framework/tunnel-moves.ts";
import { containerLog, killContainer, type LogLine, untilLogged } from "../framework/node-inside.ts";
import { execInPod } from "../framework/pod-exec.ts";
import { findPod, type PodFacts, podEvents, runPod } from "../framework/pods.ts";
import { say } from "../framework/say.ts";
import { enrol, type HandledPod, openShop, type Shop, withHands } from "../framework/shop.ts";
import { agentOn, ztunnelOn } from "../framework/ztunnel-state.ts";

const PORT = 9_000;
const HBONE = 15_008;

let mesh: Mesh;
let shop: Shop;
/** Root in a container with the mesh's sockets mounted, on n1. */
let spy: HandledPod;

before(async () => {
  mesh = await meshUp();
  shop = await openShop(mesh);
  await shop.catalog.hands.run(serveEcho, "echo", PORT);
  const mount = (name: string, path: string): object => ({ name, hostPath: { path } });
  const volumes = [mount("zds", "/var/run/ztunnel"), mount("cni", "/var/run/istio-cni")];
  const volumeMounts = volumes.map((volume) => ({
    name: Reflect.get(volume, "name"),
    mountPath: `/${Reflect.get(volume, "name")}`,
  }));
  const pod = await runPod(mesh.client, {
    namespace: "street",
    name: "spy",
    node: "n1",
    image: "ambit/host",
    spec: { volumes },
    container: { command: ["/bin/sh", "-c", "while :; do sleep 1; done"], volumeMounts },
  });
  spy = await withHands(mesh, pod);
  await enrol(mesh, "shop");
});
after(() => mesh?.down());

/** One number of ztunnel's metrics on n2, summed over labels. */
async function metric(name: string): Promise<number> {
  const ztunnel = await ztunnelOn(mesh, "n2");
  const { body } = await spy.hands.run(get, `http://${ztunnel.ipv4}:15020/metrics`);
  const lines = body.split("\n").filter((line) => line.startsWith(name) && !line.startsWith("#"));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

async function agentLog(node = "n1"): Promise<readonly LogLine[]> {
  return containerLog(mesh.node(node), await agentOn(mesh, node), "install-cni");
}

describe("the tunnel's port", { concurrency: false }, () => {
  let forge: Forger;
  const target = (): { host: string; port: number; authority: string } => ({
    host: shop.catalog.ipv4,
    port: HBONE,
    authority: `${shop.catalog.ipv4}:${PORT}`,
  });
  const knocking = (credentials: TlsCredentials, authority = target().authority): Promise<string> =>
    shop.intruder.hands.run(knock, { ...target(), authority }, credentials);

  before(async () => {
    forge = await forger(mesh);
  });

  test("answers who has a certificate of the mesh", async () => {
    assert.equal(await knocking(forge.forge()), "200");
  });

  test("hears no plaintext", async () => {
    const heard = await shop.intruder.hands.run(
      tell,
      shop.catalog.ipv4,
      HBONE,
      "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    );
    assert.doesNotMatch(heard, /HTTP|TIMEOUT/);
  });

  const hour = 3_600_000;
  const identity = "spiffe://cluster.local/ns/shop/sa/frontend";
  const rows: readonly (readonly [string, () => TlsCredentials])[] = [
    ["no certificate", () => ({ ca: forge.forge().ca })],
    ["a certificate of another root", () => forge.foreign()],
    [
      "an expired certificate",
      () => forge.forge({ notBeforeMs: Date.now() - 2 * hour, notAfterMs: Date.now() - hour }),
    ],
    [
      "a certificate of tomorrow",
      () => forge.forge({ notBeforeMs: Date.now() + hour, notAfterMs: Date.now() + 2 * hour }),
    ],
    ["another trust domain", () => forge.forge({ uris: ["spiffe://evil.example/ns/shop/sa/frontend"] })],
    ["two identities", () => forge.forge({ uris: [identity, "spiffe://cluster.local/ns/shop/sa/catalog"] })],
    ["no identity", () => forge.forge({ uris: [] })],
    ["a name in place of an identity", () => forge.forge({ uris: [], dnsNames: ["frontend.shop.svc"] })],
    ["a malformed identity", () => forge.forge({ uris: ["spiffe://cluster.local/ns/shop/frontend"] })],
    ["a leaf that is a CA", () => forge.forge({ isCa: true })],
    ["a leaf under a leaf", () => forge.underLeaf()],
    ["a server's certificate", () => forge.forge({ purposes: ["server"] })],
  ];
  for (const [title, credentials] of rows)
    test(`refuses ${title}`, async () => assert.match(await knocking(credentials()), /^refused /));

  test("every refusal was counted", async () => {
    const count = await eventually("the counter", async () => {
      const value = await metric("ambit_tunnels_refused_total");
      return value > rows.length ? value : undefined;
    });
    say(`${count} tunnels refused`);
  });

  const authorities: readonly (readonly [string, () => string, RegExp])[] = [
    ["another pod", () => `${shop.frontend.ipv4}:${PORT}`, /^400$/],
    ["an address outside", () => "192.0.2.1:80", /^400$/],
    ["loopback", () => `127.0.0.1:${PORT}`, /^400$/],
    ["the tunnel's port again", () => `${shop.catalog.ipv4}:${HBONE}`, /^503$/],
    ["ztunnel's plaintext port", () => `${shop.catalog.ipv4}:15006`, /^503$/],
    ["a closed port", () => `${shop.catalog.ipv4}:1`, /^503$/],
    ["no port", () => shop.catalog.ipv4, /^400$/],
    ["no address", () => "catalog.evil.example:80", /^(400|503)$/],
  ];
  for (const [title, authority, status] of authorities)
    test(`opens no way to ${title}`, async () =>
      assert.match(await knocking(forge.forge(), authority()), status));

  test("and serves the others all the while", async () => {
    assert.equal((await shop.frontend.hands.run(call, shop.catalog.ipv4, PORT, "still")).kind, "ok");
  });
});

describe("the node's sockets", { concurrency: false }, () => {
  const perl = (script: string, timeoutMs = 20_000): Promise<string> =>
    execInPod(mesh.cluster.kubeconfigPath, spy, ["perl", "-MSocket", "-e", script], timeoutMs);
  const CONNECT = `socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0) or die; connect($s, sockaddr_un("/zds/ztunnel.sock"))`;

  test("a stranger who says it is ztunnel is handed nothing", async () => {
    const heard = await perl(
      `${CONNECT} or die "connect: $!"; send($s, "\\x08\\x01", 0); my $n = sysread($s, my $b, 65536); print "heard ", $n || 0;`,
    );
    assert.match(heard, /heard 0/);
    const line = await eventually("a line", async () =>
      (await agentLog()).find((l) => l.msg === "zds client refused"),
    );
    assert.match(String(line["reason"]), /does not belong to a ztunnel pod/);
    say(JSON.stringify(line));
  });

  test("strangers who knock all the time do not keep ztunnel out", async () => {
    const connected = async (): Promise<number> =>
      (await agentLog()).filter((line) => line.msg === "ztunnel connected").length;
    const before = await connected();
    let knocking = true;
    const script = `my $end = time + 8; while (time < $end) { ${CONNECT}; close $s; select(undef, undef, undef, 0.01); } print "done";`;
    const flood = perl(script).finally(() => (knocking = false));
    const ztunnel = await ztunnelOn(mesh, "n1");
    killContainer(mesh.node("n1"), ztunnel.uid, "istio-proxy");
    await eventually("ztunnel is connected again", async () =>
      (await connected()) > before ? true : undefined,
    );
    const outcome = await shop.frontend.hands.run(call, shop.catalog.ipv4, PORT, "flooded");
    assert.equal(outcome.kind, "ok");
    assert.ok(knocking, "all that while strangers knock");
    assert.match(await flood, /done/);
  });

  test("a stranger who says it is the kubelet's plugin is refused", async () => {
    const outcome = await spy.hands.run(
      (world, uid: string) =>
        new Promise<string>((resolve) => {
          const request = world.http.request(
            {
              socketPath: "/cni/cni.sock",
              method: "POST",
              path: "/cni",
              headers: {
                "cni-command": "DEL",
                "cni-containerid": "x",
                "cni-ifname": "eth0",
                "cni-args": `K8S_POD_NAMESPACE=shop;K8S_POD_NAME=frontend;K8S_POD_UID=${uid}`,
              },
            },
            (answer) => resolve(`status ${answer.statusCode}`),
          );
          request.on("error", (error: NodeJS.ErrnoException) => resolve(`refused ${error.code}`));
          request.end("{}");
        }),
      shop.frontend.uid,
    );
    assert.match(outcome, /^refused /);
    const line = await eventually("a line", async () =>
      (await agentLog()).find((l) => l.msg === "cni caller refused"),
    );
    assert.match(String(line["reason"]), /inside a pod/);
  });

  test("root in a pod cannot put ztunnel's mark on a socket", async () => {
    const script = `socket(my $s, AF_INET, SOCK_STREAM, 0) or die; print setsockopt($s, 1, 36, pack("i", 0x539)) ? "marked" : "refused $!";`;
    assert.match(await perl(script), /refused Operation not permitted/);
  });
});

describe("ports of the mesh", { concurrency: false }, () => {
  test("an enrolled application reaches none of ztunnel's ports, its own or others'", async () => {
    for (const host of ["127.0.0.1", shop.frontend.ipv4, shop.catalog.ipv4]) {
      for (const port of [15_001, 15_006]) {
        const outcome = await shop.frontend.hands.run(tell, host, port, "x");
        assert.match(outcome, /^\|(ECONNRESET|ECONNREFUSED|end)$/, `${host}:${port} said ${outcome}`);
      }
    }
  });

  test("ztunnel's admin port is its own loopback's", async () => {
    const ztunnel = await ztunnelOn(mesh, "n1");
    for (const host of ztunnel.ips)
      assert.equal(
        await spy.hands.run(tell, host, 15_000, "GET /config_dump HTTP/1.0\r\n\r\n"),
        "|ECONNREFUSED",
      );
  });

  test("an application binds the ports that its captured connections use", async () => {
    await shop.frontend.hands.run(open, "out", shop.catalog.ipv4, PORT);
    assert.equal(await shop.frontend.hands.run(ask, "out", "1"), "e:1");
    await shop.frontend.hands.run(serveEcho, "same-port", PORT);
    assert.equal((await shop.catalog.hands.run(call, shop.frontend.ipv4, PORT, "to you")).kind, "ok");
    await shop.catalog.hands.run(stopServing, "echo");
    await shop.catalog.hands.run(serveEcho, "echo-again", PORT);
    assert.equal(await shop.frontend.hands.run(ask, "out", "2"), "e:2", "the old connection lives");
    assert.equal((await shop.frontend.hands.run(call, shop.catalog.ipv6, PORT, "new one")).kind, "ok");
    await shop.frontend.hands.run(hangUp, "out");
    await shop.frontend.hands.run(stopServing, "same-port");
  });

  test("a pod that holds the tunnel's port is not enrolled, and that is said; once it lets go, it is", async () => {
    const pod = await withHands(
      mesh,
      await runPod(mesh.client, { namespace: "street", name: "squatter", node: "n1" }),
    );
    await pod.hands.run(serveEcho, "squat", HBONE);
    await relabel(pod, "ambient");
    await agentLog().then((read) => (lines = read));
    const line = await untilLogged(
      "pod not captured",
      () => cached(),
      (l) => l.msg === "pod not captured" && l["pod"] === "street/squatter",
    );
    say(JSON.stringify(line));
    const event = await eventually("an event", async () =>
      (await podEvents(mesh.client, pod)).find((e) => /captured/i.test(e)),
    );
    say(event);
    assert.equal((await findPod(mesh.client, "street", "squatter"))?.captured, false);
    assert.equal((await shop.intruder.hands.run(tell, pod.ipv4, HBONE, "hello")).startsWith("e:hello"), true);
    await pod.hands.run(stopServing, "squat");
    await eventually("captured after all", async () =>
      (await findPod(mesh.client, "street", "squatter"))?.captured ? true : undefined,
    );
    assert.equal((await pod.hands.run(call, shop.catalog.ipv4, PORT, "IN-AT-LAST")).kind, "ok");
    await mesh.wire.settle();
    assert.equal(mesh.wire.countText("IN-AT-LAST"), 0);
  });

  let lines: readonly LogLine[] = [];
  const cached = (): readonly LogLine[] => {
    void agentLog().then((read) => (lines = read));
    return lines;
  };

  const relabel = (pod: PodFacts, value: string): Promise<unknown> =>
    mesh.client.json({
      method: "PATCH",
      path: kindPath(POD, { namespace: pod.namespace, name: pod.name }),
      contentType: "application/merge-patch+json",
      body: { metadata: { labels: { "istio.io/dataplane-mode": value } } },
    });
});
