/**
 * The controller under its shipped RBAC on the embedded Kubernetes API, over TLS: every right that it uses is in
 * deploy/20-rbac.yaml, real token requests and reviews, server-side apply of status and roots, a ztunnel's stream.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { startController, type Controller } from "#controller/app.ts";
import { eventually, testConfig } from "#controller/test/harness.ts";
import { systemClock } from "#core/base/clock.ts";
import { CaClient } from "#core/identity/ca-client.ts";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { KubeClient } from "#core/k8s/kube-client.ts";
import { kubeClientFor } from "#core/k8s/load-config.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { TYPE_URL_ADDRESS, TYPE_URL_AUTHORIZATION } from "#core/model/well-known.ts";
import { createLog, silentLogger } from "#core/runtime/log.ts";
import { DeltaClient } from "#core/xds/delta-client.ts";
import { KubeConfig } from "@kubernetes/client-node";
import { type RunningApiServer, startApiServer } from "#local/apiserver/start-apiserver.ts";

const root = new URL("../../", import.meta.url);
const directory = mkdtempSync(join(tmpdir(), "ambit-controller-api-"));
const lines: string[] = [];
let api: RunningApiServer;
let admin: KubeClient;
let controller: Controller;

async function applyFile(path: string): Promise<void> {
  for (const document of parseAllDocuments(readFileSync(new URL(path, root), "utf8"))) {
    const object: unknown = document.toJS();
    if (object === null) continue;
    const { kind, apiVersion, metadata } = jsonObject(object);
    const { name, namespace } = jsonObject(metadata);
    const [group, version] = jsonText(apiVersion).includes("/")
      ? jsonText(apiVersion).split("/")
      : ["", apiVersion];
    const base = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    const plural = `${jsonText(kind).toLowerCase().replace(/y$/, "ie").replace(/ss$/, "sse")}s`;
    const inNamespace = namespace === undefined ? "" : `/namespaces/${jsonText(namespace)}`;
    await admin.json({
      method: "PATCH",
      path: `${base}${inNamespace}/${plural}/${jsonText(name)}`,
      query: { fieldManager: "test", force: "true" },
      contentType: "application/apply-patch+yaml",
      body: object,
    });
  }
}

const post = (path: string, body: unknown): Promise<unknown> => admin.json({ method: "POST", path, body });

async function tokenOf(
  account: string,
  audiences: readonly string[],
  pod?: { name: string; uid: string },
): Promise<string> {
  const boundObjectRef = pod === undefined ? undefined : { kind: "Pod", apiVersion: "v1", ...pod };
  const answer = await post(`/api/v1/namespaces/istio-system/serviceaccounts/${account}/token`, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: { audiences, expirationSeconds: 3_600, ...(boundObjectRef && { boundObjectRef }) },
  });
  return jsonText(jsonObject(jsonObject(answer)["status"])["token"]);
}

async function runningPod(namespace: string, name: string, account: string, ip: string): Promise<string> {
  const made = await post(`/api/v1/namespaces/${namespace}/pods`, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: name } },
    spec: { serviceAccountName: account, nodeName: "node-1", containers: [{ name: "app", image: "x" }] },
  });
  await admin.json({
    method: "PATCH",
    path: `/api/v1/namespaces/${namespace}/pods/${name}/status`,
    contentType: "application/merge-patch+json",
    body: {
      status: {
        phase: "Running",
        podIP: ip,
        podIPs: [{ ip }],
        conditions: [{ type: "Ready", status: "True" }],
      },
    },
  });
  return jsonText(jsonObject(jsonObject(made)["metadata"])["uid"]);
}

before(async () => {
  api = await startApiServer({
    dataDir: directory,
    listen: [{ host: "127.0.0.1", port: 0 }],
    advertise: [],
    serviceCidr: "10.96.0.0/16",
    controllers: "storage",
    log: silentLogger,
  });
  const config = new KubeConfig();
  config.loadFromString(api.adminKubeconfig);
  admin = new KubeClient(config);
  for (const name of readdirSync(new URL("crds/", root)).filter((f) => f.endsWith(".yaml")))
    await applyFile(`crds/${name}`);
  for (const name of ["10-namespace.yaml", "20-rbac.yaml"]) await applyFile(`deploy/${name}`);
  await post("/api/v1/namespaces", {
    metadata: { name: "shop", labels: { "istio.io/dataplane-mode": "ambient" } },
  });
  await post("/api/v1/nodes", {
    metadata: { name: "node-1" },
    spec: { podCIDR: "10.244.1.0/24", podCIDRs: ["10.244.1.0/24"] },
  });
  await post("/api/v1/namespaces/shop/serviceaccounts", {
    metadata: { name: "frontend", namespace: "shop" },
  });
  const token = await tokenOf("ambit-controller", [
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc.cluster.local",
  ]);
  controller = await startController(testConfig({}), {
    client: kubeClientFor({ server: `https://127.0.0.1:${api.port}`, caPem: api.caPem, token }),
    log: createLog("controller", { level: "debug", write: (line) => lines.push(line) }).root,
  });
});

after(async () => {
  await controller?.stop();
  admin?.close();
  await api?.close();
  rmSync(directory, { recursive: true, force: true });
});

const rootsPem = async (): Promise<string> => {
  const map = await admin.json({
    method: "GET",
    path: "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert",
  });
  return jsonText(jsonObject(jsonObject(map)["data"])["root-cert.pem"]);
};

test("it becomes ready, with no right missing, and leads", { timeout: 30_000 }, async () => {
  await eventually(`ready: ${lines.slice(-5).join("")}`, () => controller.readiness.isReady());
  await eventually("leader", () => lines.some((line) => line.includes("leadership changed")));
  assert.deepEqual(
    lines.filter((line) => line.includes("RBAC") || line.includes("Forbidden")),
    [],
  );
});

test("roots are in every namespace", { timeout: 30_000 }, async () => {
  let pem = "";
  for (let i = 0; i < 200 && pem === ""; i++) {
    pem = await rootsPem().catch(() => "");
    if (pem === "") await systemClock.sleep(25);
  }
  assert.match(pem, /BEGIN CERTIFICATE/);
});

test("a policy gets its condition, each unsupported field by its path", { timeout: 30_000 }, async () => {
  const path = "/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies";
  await post(path, {
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { name: "tokens", namespace: "shop" },
    spec: { rules: [{ from: [{ source: { requestPrincipals: ["*"] } }] }] },
  });
  let conditions: readonly Readonly<Record<string, unknown>>[] = [];
  for (let i = 0; i < 200 && conditions.length === 0; i++) {
    const object = jsonObject(await admin.json({ method: "GET", path: `${path}/tokens` }));
    conditions = jsonList(jsonObject(object["status"])["conditions"]).map(jsonObject);
    if (conditions.length === 0) await systemClock.sleep(25);
  }
  assert.equal(conditions[0]?.["type"], "ZtunnelAccepted");
  assert.equal(conditions[0]?.["reason"], "UnsupportedValue");
  assert.match(
    jsonText(conditions[0]?.["message"]),
    /spec\.rules\[0\]\.from\[0\]\.source\.requestPrincipals/,
  );
});

test(
  "a ztunnel with a pod-bound token gets the mesh and its pods' certificates",
  { timeout: 30_000 },
  async () => {
    const uid = await runningPod("istio-system", "ztunnel-a", "ztunnel", "10.244.1.2");
    await runningPod("shop", "frontend", "frontend", "10.244.1.5");
    const token = await tokenOf("ztunnel", ["istio-ca"], { name: "ztunnel-a", uid });
    const held = new Set<string>();
    const client = new DeltaClient(
      {
        log: silentLogger,
        clock: systemClock,
        readRoots: rootsPem,
        readToken: () => Promise.resolve(token),
        apply: (update) => {
          for (const resource of update.resources) held.add(resource.name);
          return [];
        },
      },
      {
        address: `localhost:${controller.ports().grpc}`,
        serverName: "istiod.istio-system.svc",
        clusterId: "Kubernetes",
        node: {
          id: "ztunnel~10.244.1.2~ztunnel-a.istio-system~istio-system.svc.cluster.local",
          cluster: "",
          buildVersion: "",
          metadata: { NAMESPACE: "istio-system", NODE_NAME: "node-1" },
        },
        subscriptions: [
          { typeUrl: TYPE_URL_ADDRESS, mode: "wildcard" },
          { typeUrl: TYPE_URL_AUTHORIZATION, mode: "wildcard" },
        ],
      },
    );
    const abort = new AbortController();
    const running = client.run(abort.signal);
    await eventually("the mesh", () => held.has("Kubernetes//Pod/shop/frontend") && held.has("shop/tokens"));
    abort.abort();
    await running;
    const ca = new CaClient(
      { log: silentLogger, readRoots: rootsPem, readToken: () => Promise.resolve(token) },
      {
        address: `localhost:${controller.ports().grpc}`,
        serverName: "istiod.istio-system.svc",
        clusterId: "Kubernetes",
        validitySeconds: 3_600,
        impersonate: true,
        timeoutMs: 5_000,
      },
    );
    const identity = spiffeId({
      trustDomain: "cluster.local",
      namespace: "shop",
      serviceAccount: "frontend",
    });
    const certificate = await ca.issue(identity, AbortSignal.timeout(5_000));
    assert.equal(certificate.identity, identity);
    ca.close();
  },
);
