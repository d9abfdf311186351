/**
 * What each part of the mesh, a node and a namespace's owner may do, and what is refused to them: RBAC, admission fences,
 * tokens, the certificate authority, configuration.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { kindPath, POD, TOKEN_REVIEW } from "#core/k8s/kinds.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { TYPE_URL_ADDRESS } from "#core/model/well-known.ts";
import {
  askCa,
  clientWithToken,
  type ForwardedPort,
  forwardPort,
  kubeletClient,
  meshRoots,
  openXds,
  refused,
  tokenFor,
} from "../framework/accounts.ts";
import { eventually } from "../framework/eventually.ts";
import { type Mesh, meshUp } from "../framework/mesh.ts";
import { containerLog, type LogLine } from "../framework/node-inside.ts";
import { runInPod } from "../framework/pod-exec.ts";
import {
  applyYaml,
  createPod,
  findPod,
  onlyPod,
  type PodFacts,
  type PodSpec,
  podManifest,
  removePod,
  runPod,
} from "../framework/pods.ts";
import { expectedRights, rightsOf } from "../framework/rights.ts";
import { say } from "../framework/say.ts";
import { enrol } from "../framework/shop.ts";
import { agentOn, SYSTEM, ztunnelOn } from "../framework/ztunnel-state.ts";

const REDIRECTION = "ambient.istio.io/redirection";
const MERGE = "application/merge-patch+json";

let mesh: Mesh;
let ztunnel: PodFacts;
let agent: PodFacts;
/** Enrolled, on n1 and n2, under accounts of their own. */
let near: PodFacts;
let far: PodFacts;
/** Not enrolled, on n1. */
let outsider: PodFacts;
/** Runs as ztunnel's account on n1 without being one, so that the real ones are not disturbed. */
let standIn: PodFacts;

const id = (
  namespace: string,
  serviceAccount: string,
  trustDomain = "cluster.local",
): ReturnType<typeof spiffeId> => spiffeId({ trustDomain, namespace, serviceAccount });

before(async () => {
  mesh = await meshUp();
  await applyYaml(mesh.client, ACCOUNTS);
  [ztunnel, agent] = [await ztunnelOn(mesh, "n1"), await agentOn(mesh, "n1")];
  [near, far, outsider] = await Promise.all([
    runPod(mesh.client, { namespace: "shop", name: "near", node: "n1", serviceAccount: "near" }),
    runPod(mesh.client, { namespace: "shop", name: "far", node: "n2", serviceAccount: "far" }),
    runPod(mesh.client, { namespace: "street", name: "outsider", node: "n1", serviceAccount: "outsider" }),
  ]);
  standIn = await runPod(mesh.client, STAND_IN);
  await enrol(mesh, "shop");
});
after(() => mesh?.down());

describe("rights", { concurrency: 4 }, () => {
  for (const [account, expected] of expectedRights()) {
    test(`${account} has exactly its rights`, async () => {
      const { allowed, asked } = await rightsOf(mesh, `system:serviceaccount:${SYSTEM}:${account}`);
      say(`${account}: ${allowed.length} of ${asked} rights asked for are granted`);
      assert.deepEqual(allowed, expected);
    });
  }
});

describe("the agent's fence", { concurrency: false }, () => {
  const patch = (pod: PodFacts, body: unknown, token: string, subresource = "status"): Promise<unknown> =>
    clientWithToken(mesh, token).json({
      method: "PATCH",
      path: kindPath(POD, { namespace: pod.namespace, name: pod.name, ...(subresource && { subresource }) }),
      contentType: MERGE,
      body,
    });
  const agentToken = (): Promise<string> =>
    tokenFor(mesh, { namespace: SYSTEM, account: "istio-cni", pod: agent });
  const annotate = (value: string | null, key = REDIRECTION): unknown => ({
    metadata: { annotations: { [key]: value } },
  });

  test("on its own node it writes its annotation", async () => {
    await patch(outsider, annotate("enabled"), await agentToken());
    await patch(outsider, annotate(null), await agentToken());
  });

  const forbidden: readonly (readonly [string, unknown, RegExp])[] = [
    ["another annotation", annotate("x", "other"), /only the annotation/],
    ["a label", { metadata: { labels: { app: "else" } } }, /labels or finalizers/],
    ["a finalizer", { metadata: { finalizers: ["example.org/x"] } }, /labels or finalizers/],
    ["the phase", { status: { phase: "Failed" } }, /status or spec/],
    [
      "the address",
      { status: { podIP: "10.244.1.250", podIPs: [{ ip: "10.244.1.250" }] } },
      /status or spec/,
    ],
    ["a condition", { status: { conditions: [{ type: "Ready", status: "False" }] } }, /status or spec/],
  ];
  for (const [what, body, why] of forbidden) {
    test(`not ${what}`, async () => {
      const outcome = await refused(patch(outsider, body, await agentToken()));
      assert.ok([403, 422].includes(outcome.status), outcome.message);
      assert.match(outcome.message, why);
    });
  }

  test("not a pod of another node", async () => {
    const outcome = await refused(patch(far, annotate(null), await agentToken()));
    assert.match(outcome.message, /own node only/);
    assert.equal((await findPod(mesh.client, "shop", "far"))?.captured, true);
  });

  test("not with a token that is bound to no pod, nor with one of the other node's agent", async () => {
    const unbound = await tokenFor(mesh, { namespace: SYSTEM, account: "istio-cni" });
    assert.match((await refused(patch(outsider, annotate("enabled"), unbound))).message, /own node only/);
    const other = await tokenFor(mesh, {
      namespace: SYSTEM,
      account: "istio-cni",
      pod: await agentOn(mesh, "n2"),
    });
    assert.match((await refused(patch(outsider, annotate("enabled"), other))).message, /own node only/);
  });

  test("not the pod itself, only its status", async () => {
    const outcome = await refused(patch(outsider, annotate("enabled"), await agentToken(), ""));
    assert.equal(outcome.status, 403);
  });
});

describe("nobody else writes that annotation", { concurrency: false }, () => {
  const body = { metadata: { annotations: { [REDIRECTION]: "enabled" } } };
  const path = (subresource?: string): string =>
    kindPath(POD, { namespace: "street", name: "outsider", ...(subresource && { subresource }) });

  test("not the administrator", async () => {
    const outcome = await refused(
      mesh.client.json({ method: "PATCH", path: path(), contentType: MERGE, body }),
    );
    assert.match(outcome.message, /written by the node agent alone/);
  });

  test("not the kubelet of the node", async () => {
    const kubelet = kubeletClient(mesh, "n1");
    const outcome = await refused(
      kubelet.json({ method: "PATCH", path: path("status"), contentType: MERGE, body }),
    );
    assert.match(outcome.message, /written by the node agent alone/);
    kubelet.close();
  });

  test("nor removes it from a captured pod", async () => {
    const target = kindPath(POD, { namespace: "shop", name: "near" });
    const none = { metadata: { annotations: { [REDIRECTION]: null } } };
    const outcome = await refused(
      mesh.client.json({ method: "PATCH", path: target, contentType: MERGE, body: none }),
    );
    assert.match(outcome.message, /written by the node agent alone/);
  });

  test("nor creates a pod that has it", async () => {
    const manifest = podManifest({ namespace: "street", name: "liar", node: "n1" });
    const metadata = { ...jsonObject(manifest["metadata"]), annotations: { [REDIRECTION]: "enabled" } };
    const outcome = await refused(
      mesh.client.json({
        method: "POST",
        path: kindPath(POD, { namespace: "street" }),
        body: { ...manifest, metadata },
      }),
    );
    assert.match(outcome.message, /written by the node agent alone/);
  });
});

describe("probes and lifecycle handlers name no other host", { concurrency: false }, () => {
  const victim = "10.244.2.9";
  const http = (host: string): unknown => ({ httpGet: { host, port: 80, path: "/" } });
  const rows: readonly (readonly [string, Readonly<Record<string, unknown>>, boolean])[] = [
    ["readiness, HTTP", { readinessProbe: http(victim) }, false],
    ["liveness, TCP", { livenessProbe: { tcpSocket: { host: victim, port: 80 } } }, false],
    ["startup, HTTP", { startupProbe: http("example.org") }, false],
    ["postStart", { lifecycle: { postStart: http(victim) } }, false],
    ["preStop", { lifecycle: { preStop: { tcpSocket: { host: victim, port: 80 } } } }, false],
    ["loopback", { livenessProbe: { ...jsonObject(http("127.0.0.1")), initialDelaySeconds: 600 } }, true],
    ["no host", { livenessProbe: { httpGet: { port: 80, path: "/" }, initialDelaySeconds: 600 } }, true],
  ];
  for (const [title, container, allowed] of rows) {
    test(`${title}: ${allowed ? "accepted" : "refused"}`, async () => {
      const body = podManifest({ namespace: "street", name: "prober", node: "n1", container });
      const request = mesh.client.json({
        method: "POST",
        path: kindPath(POD, { namespace: "street" }),
        body,
      });
      if (!allowed) assert.match((await refused(request)).message, /may not name another host/);
      else await request.then(() => removePod(mesh.client, { namespace: "street", name: "prober" }));
    });
  }

  test("an init container's probe is looked at too", async () => {
    const init = {
      name: "init",
      image: "ambit/sample-client",
      restartPolicy: "Always",
      livenessProbe: http(victim),
    };
    const body = podManifest({
      namespace: "street",
      name: "prober",
      node: "n1",
      spec: { initContainers: [init] },
    });
    const request = mesh.client.json({ method: "POST", path: kindPath(POD, { namespace: "street" }), body });
    assert.match((await refused(request)).message, /may not name another host/);
  });
});

describe("tokens", { concurrency: false }, () => {
  const reviewed = async (token: string, audience: string): Promise<boolean> => {
    const spec = { token, audiences: [audience] };
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec };
    const answer = await mesh.client.json({ method: "POST", path: kindPath(TOKEN_REVIEW), body });
    return jsonObject(jsonObject(answer)["status"])["authenticated"] === true;
  };

  test("files are readable by their process alone; ztunnel has no token for the API", async () => {
    const kubeconfig = mesh.cluster.kubeconfigPath;
    const script = (path: string): string =>
      `import fs from "node:fs"; console.log((fs.statSync("${path}").mode & 0o777).toString(8))`;
    const api = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    const controller = await onlyPod(mesh.client, SYSTEM, "app=ambit-controller");
    const forCa = "/var/run/secrets/tokens/istio-token";
    // The kubelet makes it 0600 for the user that the pod names, and 0640 for its group.
    assert.match(await runInPod(kubeconfig, ztunnel, script(forCa)), /^[46]00$/m);
    assert.match(await runInPod(kubeconfig, agent, script(api)), /^[46]00$/m);
    assert.match(await runInPod(kubeconfig, controller, script(api)), /^[46][04]0$/m);
    await assert.rejects(runInPod(kubeconfig, ztunnel, script(api)), /ENOENT/);
  });

  test("a token for the CA opens no door at the API, and the reverse", async () => {
    const forCa = await tokenFor(mesh, {
      namespace: SYSTEM,
      account: "ztunnel",
      audiences: ["istio-ca"],
      pod: ztunnel,
    });
    const list = { method: "GET", path: "/api/v1/namespaces" } as const;
    assert.equal((await refused(clientWithToken(mesh, forCa).json(list))).status, 401);
    const forApi = await tokenFor(mesh, { namespace: SYSTEM, account: "ztunnel", pod: ztunnel });
    assert.equal((await refused(clientWithToken(mesh, forApi).json(list))).status, 403);
    assert.equal(await reviewed(forCa, "istio-ca"), true);
    assert.equal(await reviewed(forApi, "istio-ca"), false);
  });
});

describe("the certificate authority", { concurrency: false }, () => {
  let port: ForwardedPort;
  let rootsPem: string;
  let token: string;

  before(async () => {
    port = await forwardPort(mesh, await onlyPod(mesh.client, SYSTEM, "app=ambit-controller"), 15_012);
    rootsPem = await meshRoots(mesh);
    token = await ztunnelToken(standIn);
  });
  after(() => port?.close());

  const ztunnelToken = (pod: PodFacts): Promise<string> =>
    tokenFor(mesh, { namespace: SYSTEM, account: "ztunnel", audiences: ["istio-ca"], pod });
  const ask = (identity: ReturnType<typeof id>, by = token, own = false): ReturnType<typeof askCa> =>
    askCa({ address: port.address, rootsPem, token: by, identity, own });
  const auditLines = async (): Promise<readonly LogLine[]> => {
    const controller = await onlyPod(mesh.client, SYSTEM, "app=ambit-controller");
    return containerLog(mesh.node(controller.node), controller, "controller");
  };

  test("a ztunnel gets what runs on its node", async () => {
    const certificate = await ask(id("shop", "near"));
    assert.equal(certificate.identity, "spiffe://cluster.local/ns/shop/sa/near");
    const other = await ask(id("shop", "far"), await ztunnelToken(await ztunnelOn(mesh, "n2")));
    assert.equal(other.identity, "spiffe://cluster.local/ns/shop/sa/far");
  });

  test("a life of more than a day is cut or refused", async () => {
    const wish = { address: port.address, rootsPem, token, identity: id("shop", "near") };
    const outcome = await askCa({ ...wish, validitySeconds: 90 * 86_400 }).catch((error: unknown) =>
      String(error),
    );
    if (typeof outcome === "string") assert.match(outcome, /CA_REFUSED|INVALID_ARGUMENT|OUT_OF_RANGE/);
    else assert.ok(outcome.notAfterMs - Date.now() <= 86_400_000 + 120_000);
  });

  // What the informers might only not know yet is refused with the request to come back, and not granted then either.
  const unseenIdentities: readonly (readonly [string, () => ReturnType<typeof id>])[] = [
    ["of a pod on another node", () => id("shop", "far")],
    ["of an account without a pod", () => id("shop", "nobody")],
    ["of a pod outside the mesh", () => id("street", "outsider")],
  ];
  for (const [what, identity] of unseenIdentities)
    test(`refuses an identity ${what}`, () => assert.rejects(ask(identity()), refusalOrEarly));

  const refusedIdentities: readonly (readonly [string, () => ReturnType<typeof id>])[] = [
    ["in another trust domain", () => id("shop", "near", "evil.example")],
    ["of the mesh's own accounts", () => id(SYSTEM, "ztunnel")],
    ["of the agent", () => id(SYSTEM, "istio-cni")],
    ["of the controller", () => id(SYSTEM, "ambit-controller")],
    ["that is no identity", () => "spiffe://cluster.local/ns/shop/sa/near/more" as ReturnType<typeof id>],
    ["with a path trick", () => "spiffe://cluster.local/ns/shop/sa/../near" as ReturnType<typeof id>],
  ];
  for (const [what, identity] of refusedIdentities)
    test(`refuses an identity ${what}`, () => assert.rejects(ask(identity()), refusal));

  test("refuses the identity of a mirror pod, which names no account", async () => {
    const kubelet = kubeletClient(mesh, "n1");
    const manifest = podManifest({ namespace: "shop", name: "mirror-n1", node: "n1" });
    const metadata = {
      ...jsonObject(manifest["metadata"]),
      annotations: { "kubernetes.io/config.mirror": "e2e" },
    };
    const node = jsonObject(await mesh.client.json({ method: "GET", path: "/api/v1/nodes/n1" }));
    const owner = {
      apiVersion: "v1",
      kind: "Node",
      name: "n1",
      uid: jsonText(jsonObject(node["metadata"])["uid"]),
      controller: true,
    };
    const spec = { ...jsonObject(manifest["spec"]), nodeName: "n1" };
    const body = { ...manifest, metadata: { ...metadata, ownerReferences: [owner] }, spec };
    await kubelet.json({ method: "POST", path: kindPath(POD, { namespace: "shop" }), body });
    kubelet.close();
    await assert.rejects(ask(id("shop", "default")), refusalOrEarly);
    await mesh.client.json({
      method: "DELETE",
      path: kindPath(POD, { namespace: "shop", name: "mirror-n1" }),
      body: { gracePeriodSeconds: 0 },
    });
  });

  test("refuses the identity of a hostNetwork pod", async () => {
    await runPod(mesh.client, {
      namespace: "shop",
      name: "host",
      node: "n1",
      serviceAccount: "host",
      spec: { hostNetwork: true },
    });
    await assert.rejects(ask(id("shop", "host")), refusal);
    await removePod(mesh.client, { namespace: "shop", name: "host" });
  });

  test("refuses the identity of a pod that has ended, and of one that is gone", async () => {
    await createPod(mesh.client, {
      namespace: "shop",
      name: "brief",
      node: "n1",
      serviceAccount: "brief",
      image: "ambit/host",
      spec: { restartPolicy: "Never" },
      container: { command: ["/bin/sh", "-c", "exit 0"] },
    });
    await eventually("brief ended", async () =>
      (await findPod(mesh.client, "shop", "brief"))?.phase === "Succeeded" ? true : undefined,
    );
    // The controller watches no ended pods, so that this one looks as one that has not been seen.
    await eventually("refused", () => ask(id("shop", "brief")).then(() => undefined, refusalOrEarly));
    await removePod(mesh.client, { namespace: "shop", name: "brief" });
    await assert.rejects(ask(id("shop", "brief")), refusalOrEarly);
  });

  const callers: readonly (readonly [string, () => Promise<string>])[] = [
    [
      "an application's account",
      () => tokenFor(mesh, { namespace: "shop", account: "near", audiences: ["istio-ca"], pod: near }),
    ],
    [
      "ztunnel's account without a pod",
      () => tokenFor(mesh, { namespace: SYSTEM, account: "ztunnel", audiences: ["istio-ca"] }),
    ],
    ["a token for the API", () => tokenFor(mesh, { namespace: SYSTEM, account: "ztunnel", pod: ztunnel })],
    ["a token of nothing", () => Promise.resolve("e30.e30.e30")],
    ["garbage", () => Promise.resolve("garbage")],
  ];
  for (const [who, get] of callers)
    test(`refuses ${who} as caller`, async () =>
      assert.rejects(
        ask(id("shop", "near"), await get()),
        /CA_REFUSED|CA_UNAVAILABLE|UNAUTHENTICATED|PERMISSION_DENIED/,
      ));

  test("gives nobody a certificate of their own identity: no waypoint is recorded", async () => {
    await assert.rejects(ask(id(SYSTEM, "ztunnel"), token, true), refusal);
    const app = await tokenFor(mesh, {
      namespace: "shop",
      account: "near",
      audiences: ["istio-ca"],
      pod: near,
    });
    await assert.rejects(ask(id("shop", "near"), app, true), refusal);
  });

  describe("configuration", { concurrency: false }, () => {
    const metadata = { NAMESPACE: SYSTEM, NODE_NAME: "n1", SERVICE_ACCOUNT: "ztunnel" };
    const nodeId = (type: string, name: string, namespace: string): string =>
      `${type}~10.244.1.9~${name}.${namespace}~${namespace}.svc.cluster.local`;

    test("goes to a ztunnel", async () => {
      const wish = { address: port.address, rootsPem, token, metadata, typeUrl: TYPE_URL_ADDRESS };
      const outcome = await openXds({ ...wish, nodeId: nodeId("ztunnel", standIn.name, SYSTEM) });
      assert.ok("answer" in outcome && outcome.answer > 0, JSON.stringify(outcome));
    });

    test("not to an application that says it is a ztunnel, nor to one that says it is a waypoint", async () => {
      const app = await tokenFor(mesh, {
        namespace: "shop",
        account: "near",
        audiences: ["istio-ca"],
        pod: near,
      });
      for (const type of ["ztunnel", "waypoint"]) {
        const outcome = await openXds({
          address: port.address,
          rootsPem,
          token: app,
          metadata: { NAMESPACE: "shop", NODE_NAME: "n1", SERVICE_ACCOUNT: "near" },
          nodeId: nodeId(type, "near", "shop"),
          typeUrl: TYPE_URL_ADDRESS,
        });
        assert.deepEqual(outcome, { status: "PERMISSION_DENIED" }, type);
      }
    });

    test("not to a ztunnel that names another node", async () => {
      const wish = { address: port.address, rootsPem, token, typeUrl: TYPE_URL_ADDRESS };
      const outcome = await openXds({
        ...wish,
        metadata: { ...metadata, NODE_NAME: "n2" },
        nodeId: nodeId("ztunnel", standIn.name, SYSTEM),
      });
      assert.deepEqual(outcome, { status: "PERMISSION_DENIED" });
    });
  });

  test("a caller that is going away is still heard; one that has ended, or is gone, is not", async () => {
    const path = kindPath(POD, { namespace: SYSTEM, name: standIn.name });
    await mesh.client.json({ method: "DELETE", path, body: { gracePeriodSeconds: 600 } });
    await eventually("ending", async () =>
      (await findPod(mesh.client, SYSTEM, standIn.name))?.ending === true ? true : undefined,
    );
    assert.equal((await ask(id("shop", "near"))).identity, id("shop", "near"));
    await mesh.client.json({ method: "DELETE", path, body: { gracePeriodSeconds: 0 } });
    await eventually("no longer heard", () =>
      ask(id("shop", "near")).then(
        () => undefined,
        () => true,
      ),
    );
    // Another pod of the same name does not revive the token.
    await runPod(mesh.client, STAND_IN);
    await assert.rejects(ask(id("shop", "near")), /UNAUTHENTICATED/);
  });

  test("every refusal left an audit line, without token or key", async () => {
    const lines = await auditLines();
    const refusals = lines.filter((line) => /refus/i.test(line.msg));
    assert.ok(
      refusals.length >= refusedIdentities.length + unseenIdentities.length,
      `${refusals.length} lines`,
    );
    const text = JSON.stringify(lines);
    assert.ok(!text.includes(token.split(".")[2] ?? "?"), "a token's signature is in the log");
    assert.ok(!text.includes("PRIVATE KEY"));
    say(`${refusals.length} refusals were logged, such as ${JSON.stringify(refusals.at(-1))}`);
  });
});

/** True for a refusal of the CA; anything else is a failure of the test. */
function refusal(error: unknown): true {
  assert.match(String(error), /PERMISSION_DENIED|UNAUTHENTICATED|INVALID_ARGUMENT/);
  return true;
}

/** For an identity of which the controller has seen no pod: it may be told to come back. */
function refusalOrEarly(error: unknown): true {
  assert.match(String(error), /PERMISSION_DENIED|UNAUTHENTICATED|INVALID_ARGUMENT|answered UNAVAILABLE/);
  return true;
}

const STAND_IN: PodSpec = {
  namespace: SYSTEM,
  name: "stand-in",
  node: "n1",
  serviceAccount: "ztunnel",
  image: "ambit/host",
  container: { command: ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"] },
};

const account = (namespace: string, name: string): string => `
apiVersion: v1
kind: ServiceAccount
metadata: { name: ${name}, namespace: ${namespace} }
---`;
const ACCOUNTS = `
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Namespace
metadata: { name: street }
---${["near", "far", "host", "brief"].map((name) => account("shop", name)).join("")}${account("street", "outsider")}`;
