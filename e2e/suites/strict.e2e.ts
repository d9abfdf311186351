/**
 * PeerAuthentication: who may still speak plaintext to enrolled pods. Kubelet's probes may, and nobody else who comes from
 * the node's addresses.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { PEER_AUTHENTICATION } from "#core/k8s/kinds.ts";
import { eventually } from "../framework/eventually.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { ask, call, callersOf, endOf, open, serveEcho } from "../framework/tcp-moves.ts";
import { containerLog, inNetnsOf } from "../framework/node-inside.ts";
import { findPod, runPod } from "../framework/pods.ts";
import { conditionOf, refusalOf, whilePolicy } from "../framework/policies.ts";
import { enrol, type HandledPod, openShop, type Shop, withHands } from "../framework/shop.ts";
import { ztunnelOn } from "../framework/ztunnel-state.ts";

const run = promisify(execFile);
const PORTS = [9_000, 9_001] as const;
const NODE_PORT = 30_080;

let mesh: Mesh;
let shop: Shop;
let hostNetwork: HandledPod;

const peerAuthentication = (name: string, spec: string, namespace = "shop"): string => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
---`;
const STRICT = peerAuthentication("default", "{ mtls: { mode: STRICT } }");

before(async () => {
  mesh = await meshUp();
  shop = await openShop(mesh);
  for (const port of PORTS) await shop.catalog.hands.run(serveEcho, `echo-${port}`, port);
  const spec = { hostNetwork: true };
  hostNetwork = await withHands(
    mesh,
    await runPod(mesh.client, { namespace: "street", name: "host-network", node: "n2", spec }),
  );
  await enrol(mesh, "shop");
});
after(() => mesh?.down());

/** Who gets through to the catalog, as `caller:port`. */
async function passing(): Promise<readonly string[]> {
  const callers = { frontend: shop.frontend, intruder: shop.intruder };
  const tries = Object.entries(callers).flatMap(([caller, { hands }]) =>
    PORTS.flatMap((port) =>
      [shop.catalog.ipv4, shop.catalog.ipv6].map(async (address) => {
        const outcome = await hands.run(call, address, port, "knock");
        return outcome.kind === "ok" ? [`${caller}:${port}`] : [];
      }),
    ),
  );
  return [...new Set((await Promise.all(tries)).flat())];
}

const EVERYONE = ["frontend:9000", "frontend:9001", "intruder:9000", "intruder:9001"];

/** The modes take effect everywhere a moment after the policy's status says that they are known. */
async function untilPassing(expected: readonly string[]): Promise<void> {
  await eventually(`passing: ${expected.join(" ")}`, async () => {
    const now = await passing();
    assert.deepEqual(now, expected);
    return true;
  });
  assert.deepEqual(await passing(), expected);
}

/** From the node's own namespace, outside every pod and outside the kubelet's group. */
async function callFromNode(node: string, host: string, port: number): Promise<string> {
  const script = `
    const s = require("node:net").connect({ host: ${JSON.stringify(host)}, port: ${port}, timeout: 5000 }, () => s.write("x"));
    s.on("data", (d) => { console.log(String(d)); s.end(); }); s.on("timeout", () => s.destroy(new Error("timeout")));
    s.on("error", (e) => console.log("failed " + e.code)); s.on("end", () => console.log("end"));`;
  const net = `--net=${mesh.node(node).netns}`;
  const { stdout } = await run("nsenter", [net, process.execPath, "-e", script], { timeout: 15_000 });
  return stdout.split("\n")[0] ?? "";
}

test("without a policy plaintext is accepted", () => untilPassing(EVERYONE));

describe("modes", { concurrency: false }, () => {
  const onCatalog = (rest: string): string => `{ selector: { matchLabels: { app: catalog } }, ${rest} }`;
  const rows: readonly (readonly [string, string, readonly string[]])[] = [
    ["STRICT for the namespace", STRICT, at("frontend")],
    ["PERMISSIVE", peerAuthentication("default", "{ mtls: { mode: PERMISSIVE } }"), EVERYONE],
    [
      "STRICT for the mesh",
      peerAuthentication("default", "{ mtls: { mode: STRICT } }", "istio-system"),
      at("frontend"),
    ],
    [
      "PERMISSIVE for the namespace wins over STRICT for the mesh",
      peerAuthentication("default", "{ mtls: { mode: STRICT } }", "istio-system") +
        peerAuthentication("default", "{ mtls: { mode: PERMISSIVE } }"),
      EVERYONE,
    ],
    [
      "STRICT for one workload",
      peerAuthentication("catalog", onCatalog("mtls: { mode: STRICT }")),
      at("frontend"),
    ],
    [
      "STRICT but for one port",
      peerAuthentication(
        "catalog",
        onCatalog("mtls: { mode: STRICT }, portLevelMtls: { 9001: { mode: PERMISSIVE } }"),
      ),
      [...at("frontend"), "intruder:9001"],
    ],
    [
      "STRICT on one port",
      peerAuthentication("catalog", onCatalog("portLevelMtls: { 9001: { mode: STRICT } }")),
      [...at("frontend"), "intruder:9000"],
    ],
    [
      "UNSET inherits",
      STRICT + peerAuthentication("catalog", onCatalog("mtls: { mode: UNSET }")),
      at("frontend"),
    ],
  ];
  for (const [title, yaml, expected] of rows)
    test(title, () => whilePolicy(mesh, yaml, () => untilPassing(expected)));

  test("and back: plaintext is accepted again", () => untilPassing(EVERYONE));
});

function at(caller: string): readonly string[] {
  return PORTS.map((port) => `${caller}:${port}`);
}

test("STRICT ends live plaintext connections, with the reason in the log", async () => {
  await shop.intruder.hands.run(open, "live", shop.catalog.ipv4, 9_000);
  assert.equal(await shop.intruder.hands.run(ask, "live", "1"), "e:1");
  await whilePolicy(mesh, STRICT, async () => {
    assert.equal(await shop.intruder.hands.run(endOf, "live"), "error ECONNRESET");
    const ztunnel = await ztunnelOn(mesh, "n2");
    const line = await eventually("its line", () =>
      containerLog(mesh.node("n2"), ztunnel, "istio-proxy").find(
        (l) => l["reason"] === "policy-changed" && String(l["src.addr"]).startsWith(shop.intruder.ipv4),
      ),
    );
    assert.equal(line["protocol"], "tcp");
    assert.equal(line["src.identity"], undefined, "plaintext has no identity");
  });
});

test("under STRICT the kubelet's probes pass, of every kind", async () => {
  await whilePolicy(mesh, STRICT, async () => {
    await untilPassing(at("frontend"));
    const probe = { periodSeconds: 1, failureThreshold: 1 };
    const container = {
      readinessProbe: { ...probe, httpGet: { path: "/ready", port: 8080 } },
      livenessProbe: { ...probe, tcpSocket: { port: 8080 } },
      startupProbe: { ...probe, failureThreshold: 30, httpGet: { path: "/ready", port: 8080 } },
    };
    const pod = await runPod(mesh.client, {
      namespace: "shop",
      name: "probed",
      node: "n2",
      image: "ambit/sample-echo",
      container,
    });
    // Several probes of each kind: with a threshold of one a single refusal would show.
    for (let i = 0; i < 40; i++) {
      const now = await findPod(mesh.client, "shop", "probed");
      assert.equal(now?.ready, true, `not ready after ${i} looks`);
      assert.equal(now.restarts, 0);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(pod.captured || (await findPod(mesh.client, "shop", "probed"))?.captured, true);
    const catalog = await findPod(mesh.client, "shop", shop.catalog.name);
    assert.equal(catalog?.ready, true);
  });
});

test("what comes from the node's addresses is not a probe: hostNetwork pods and processes of the node", async () => {
  await untilPassing(EVERYONE);
  const before = await hostNetwork.hands.run(call, shop.catalog.ipv4, 9_000, "x");
  assert.equal(before.kind, "ok", "under PERMISSIVE");
  assert.equal(await callFromNode("n2", shop.catalog.ipv4, 9_000), "e:x");
  const [address] = await shop.catalog.hands.run(callersOf, "echo-9000").then((all) => all.slice(-1));
  assert.match(address ?? "", /^10\.244\.2\.1$/, "the node's own address on the pod network");
  await whilePolicy(mesh, STRICT, async () => {
    await untilPassing(at("frontend"));
    for (const host of [shop.catalog.ipv4, shop.catalog.ipv6]) {
      assert.equal((await hostNetwork.hands.run(call, host, 9_000, "x")).kind, "failed");
      assert.match(await callFromNode("n2", host, 9_000), /^(failed ECONNRESET|end)$/);
    }
    // The very port that the kubelet probes is no exception for others.
    assert.match(await callFromNode("n2", shop.catalog.ipv4, 8_080), /^(failed ECONNRESET|end)$/);
  });
});

test("traffic that the node masquerades to its own address is not a probe either", async () => {
  await untilPassing(EVERYONE);
  const netns = mesh.node("n2").netns;
  const rules = `
    table ip e2e_node_port {
      chain pre { type nat hook prerouting priority dstnat; tcp dport ${NODE_PORT} dnat to ${shop.catalog.ipv4}:9000; }
      chain post { type nat hook postrouting priority srcnat; ip daddr ${shop.catalog.ipv4} tcp dport 9000 ct status dnat masquerade; }
    }`;
  await inNetnsOf(netns, ["nft", rules]);
  try {
    assert.equal(await callFromNode("n1", mesh.node("n2").ip, NODE_PORT), "e:x", "under PERMISSIVE");
    const [address] = (await shop.catalog.hands.run(callersOf, "echo-9000")).slice(-1);
    assert.match(address ?? "", /^10\.244\.2\.1$/, "masqueraded to the node's address");
    await whilePolicy(mesh, STRICT, async () => {
      await untilPassing(at("frontend"));
      assert.match(await callFromNode("n1", mesh.node("n2").ip, NODE_PORT), /^(failed ECONNRESET|end)$/);
    });
  } finally {
    await inNetnsOf(netns, ["nft", "delete table ip e2e_node_port"]);
  }
});

describe("refused at admission, or said in a condition", { concurrency: false }, () => {
  const selector = { matchLabels: { app: "catalog" } };
  const rows: readonly (readonly [string, unknown, RegExp])[] = [
    ["unknown mode", { mtls: { mode: "MAYBE" } }, /spec\.mtls\.mode/],
    [
      "ports without a selector",
      { portLevelMtls: { "9000": { mode: "STRICT" } } },
      /spec.*portLevelMtls needs a selector/s,
    ],
    [
      "ports with an empty selector",
      { selector: {}, portLevelMtls: { "9000": { mode: "STRICT" } } },
      /needs a selector/,
    ],
    ["port 0", { selector, portLevelMtls: { "0": { mode: "STRICT" } } }, /spec\.portLevelMtls.*1 to 65535/s],
    ["port 65536", { selector, portLevelMtls: { "65536": { mode: "STRICT" } } }, /spec\.portLevelMtls/],
    ["port name", { selector, portLevelMtls: { http: { mode: "STRICT" } } }, /spec\.portLevelMtls/],
    ["no port at all", { selector, portLevelMtls: {} }, /spec\.portLevelMtls/],
    ["bad mode of a port", { selector, portLevelMtls: { "80": { mode: "x" } } }, /spec\.portLevelMtls.*mode/],
    ["wildcard", { selector: { matchLabels: { app: "x*" } } }, /spec\.selector\.matchLabels/],
  ];
  for (const [title, spec, path] of rows) {
    test(title, async () => {
      const metadata = { name: "bad", namespace: "shop" };
      const object = { apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", metadata, spec };
      assert.match(await refusalOf(mesh, PEER_AUTHENTICATION, object), path);
    });
  }

  test("DISABLE is PERMISSIVE, and the condition says so", async () => {
    const yaml = peerAuthentication("default", "{ mtls: { mode: DISABLE } }");
    await whilePolicy(mesh, yaml, async () => {
      const condition = await conditionOf(mesh, PEER_AUTHENTICATION, "shop", "default");
      assert.match(condition.message, /spec\.mtls\.mode/);
      await untilPassing(EVERYONE);
    });
  });
});
