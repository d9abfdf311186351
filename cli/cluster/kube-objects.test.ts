/** Objects over a real API server: applied, read, patched, deleted; absent objects and kinds. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { GATEWAY, NAMESPACE } from "#core/k8s/kinds.ts";
import { projectMeta } from "#core/k8s/project.ts";
import { startTestApi, type TestApi } from "#local/apiserver/testing/test-api.ts";
import { parse } from "yaml";
import { waypointManifest } from "../dump/waypoint-manifest.ts";
import { openCluster } from "./kube-access.ts";
import type { ObjectAccess } from "./object-access.ts";

let api: TestApi;
let objects: ObjectAccess;
before(async () => {
  api = await startTestApi({ controllers: "storage" });
  const kubeconfig = join(api.dataDir, "cli-kubeconfig");
  writeFileSync(kubeconfig, api.server.adminKubeconfig, { mode: 0o600 });
  const options = { kubeconfig, context: undefined, namespace: "default", systemNamespace: "istio-system" };
  ({ objects } = await openCluster(options, new AbortController().signal));
  await api.request("POST", "/api/v1/namespaces", { body: { metadata: { name: "shop" } } });
});
after(() => api.close());

test("a cluster without Gateways says so, instead of an empty list", async () => {
  await assert.rejects(objects.list(GATEWAY, undefined), {
    code: "CLI_NO_KIND",
    message: "this cluster has no kind Gateway (gateway.networking.k8s.io)",
  });
});

test("Gateways are applied, found, taken over and deleted", async () => {
  const crd: unknown = parse(
    readFileSync(join(import.meta.dirname, "..", "..", "crds", "gateway.yaml"), "utf8"),
  );
  await api.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", { body: crd });
  const name = { namespace: "shop", name: "waypoint" };
  const wish = { ...name, revision: undefined };
  assert.equal(await objects.get(GATEWAY, name), undefined);
  const theirs = waypointManifest({ ...wish, trafficType: "service" });
  const path = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/waypoint";
  await api.request("PATCH", `${path}?fieldManager=istioctl`, {
    contentType: "application/apply-patch+yaml",
    body: theirs,
  });
  await objects.apply(GATEWAY, waypointManifest({ ...wish, trafficType: "all" }));
  const [listed, ...others] = await objects.list(GATEWAY, "shop");
  assert.deepEqual([projectMeta(listed).labels, others], [{ "istio.io/waypoint-for": "all" }, []]);
  assert.equal((await objects.list(GATEWAY, undefined)).length, 1);
  assert.deepEqual([await objects.delete(GATEWAY, name), await objects.delete(GATEWAY, name)], [true, false]);
});

test("requests at once do not end each other's connections", async () => {
  const names = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      if (i % 2 === 0) await objects.list(NAMESPACE, undefined);
      return objects.get(NAMESPACE, { namespace: "", name: "shop" });
    }),
  );
  assert.ok(names.every((found) => found !== undefined));
});

test("a namespace is labelled", async () => {
  const name = { namespace: "", name: "shop" };
  await objects.patch(NAMESPACE, name, { metadata: { labels: { "istio.io/use-waypoint": "waypoint" } } });
  const { labels } = projectMeta(await objects.get(NAMESPACE, name));
  assert.equal(labels["istio.io/use-waypoint"], "waypoint");
  await assert.rejects(objects.patch(NAMESPACE, { namespace: "", name: "nowhere" }, {}), {
    code: "KUBE_STATUS",
  });
});
