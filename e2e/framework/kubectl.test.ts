/** Without kubectl on the machine the tour's changes are made all the same, and each command is shown. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { jsonObject } from "#core/k8s/json-read.ts";
import { AUTHORIZATION_POLICY, kindPath, NAMESPACE } from "#core/k8s/kinds.ts";
import { kubeStatus, type KubeClient } from "#core/k8s/kube-client.ts";
import { loadKubeClient } from "#core/k8s/load-config.ts";
import { startTestApi, type TestApi } from "#local/apiserver/testing/test-api.ts";
import { applyManifest, readManifests } from "#local/manifests.ts";
import { Kubectl } from "./kubectl.ts";

const POLICY = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: nobody, namespace: shop }
spec: { action: ALLOW }
`;
const POLICY_PATH = kindPath(AUTHORIZATION_POLICY, { namespace: "shop", name: "nobody" });

let api: TestApi;
let client: KubeClient;
let kubeconfig: string;
const path = process.env["PATH"];

before(async () => {
  api = await startTestApi({ controllers: "storage" });
  kubeconfig = join(api.dataDir, "kubeconfig");
  writeFileSync(kubeconfig, api.server.adminKubeconfig);
  client = loadKubeClient(kubeconfig);
  for (const manifest of readManifests(join(import.meta.dirname, "../../crds")))
    await applyManifest(client, manifest);
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } };
  assert.equal((await api.request("POST", "/api/v1/namespaces", { body: namespace })).code, 201);
  process.env["PATH"] = "/nonexistent";
});
after(async () => {
  process.env["PATH"] = path;
  await api.close();
});

async function labels(): Promise<Readonly<Record<string, unknown>>> {
  const namespace = await client.json({ method: "GET", path: kindPath(NAMESPACE, { name: "shop" }) });
  return jsonObject(jsonObject(jsonObject(namespace)["metadata"])["labels"]);
}

test("label, apply and delete work through the API, with the command that a user would type", async () => {
  const shown: string[] = [];
  const kubectl = new Kubectl(client, kubeconfig, (line) => shown.push(line));
  assert.equal(kubectl.isReal, false);
  await kubectl.labelNamespace("shop", "istio.io/dataplane-mode", "ambient");
  assert.equal((await labels())["istio.io/dataplane-mode"], "ambient");
  await kubectl.labelNamespace("shop", "istio.io/dataplane-mode", undefined);
  assert.equal((await labels())["istio.io/dataplane-mode"], undefined);
  await kubectl.apply(POLICY);
  assert.equal(
    jsonObject(jsonObject(await client.json({ method: "GET", path: POLICY_PATH }))["spec"])["action"],
    "ALLOW",
  );
  await kubectl.delete(POLICY, "authorizationpolicy nobody -n shop");
  await assert.rejects(
    client.json({ method: "GET", path: POLICY_PATH }),
    (error) => kubeStatus(error) === 404,
  );
  assert.deepEqual(shown, [
    "$ kubectl label namespace shop istio.io/dataplane-mode=ambient --overwrite",
    "$ kubectl label namespace shop istio.io/dataplane-mode- --overwrite",
    `$ kubectl apply -f - <<EOF\n${POLICY.trim()}\nEOF`,
    "$ kubectl delete authorizationpolicy nobody -n shop",
  ]);
});

test("what the API refuses is refused here too, with its words", async () => {
  const kubectl = new Kubectl(client, kubeconfig, () => undefined);
  await assert.rejects(kubectl.apply(POLICY.replace("ALLOW", "PERMIT")), /spec\.action/);
});
