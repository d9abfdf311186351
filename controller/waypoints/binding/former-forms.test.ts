/** A policy about connections that becomes one about requests: until a waypoint judges by it, nobody is let in whom it refused, and nobody is shut out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeAddress } from "#core/wire/address-codec.ts";
import { decodeAuthorization } from "#core/wire/authorization-codec.ts";
import { Scheduler } from "../../collections/scheduler.ts";
import { MeshIndex } from "../../mesh-index.ts";
import { loadYaml } from "../../source/file-source.ts";
import { Sources } from "../../sources.ts";
import { testMeshConfig } from "../../test/builders.ts";
import type { Stage } from "./binding.ts";
import { formatRecord } from "../gateway/waypoint-record.ts";

const WORLD = `
{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } } }
---
{ apiVersion: v1, kind: Pod, metadata: { name: catalog, namespace: shop, labels: { app: catalog } },
  spec: { serviceAccountName: catalog, nodeName: n1 }, status: { phase: Running, podIPs: [{ ip: 10.0.0.1 }] } }
`;
const FROM = 'from: [{ source: { namespaces: ["shop"] } }]';
const L4 = `rules: [{ ${FROM} }]`;
const L7 = `rules: [{ ${FROM}, to: [{ operation: { methods: [GET] } }] }]`;

class Mesh {
  readonly sources = new Sources();
  readonly scheduler = new Scheduler();
  readonly index = new MeshIndex(this.sources, testMeshConfig, this.scheduler);

  put(text: string): void {
    const loaded = loadYaml(text, this.sources);
    assert.ok(loaded.ok, JSON.stringify(loaded));
    this.scheduler.run();
    assert.ok(this.scheduler.isIdle);
  }

  policy(spec: string): void {
    this.put(
      `{ apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: { name: p, namespace: shop }, spec: { ${spec} } }`,
    );
  }

  binding(stage: Stage): void {
    const scope = { kind: "workloads" as const, labels: {} };
    const binding = { policy: "shop/p" as never, field: "f", scope, stage, sinceMs: 0 };
    const record = formatRecord({ deploymentUid: "u", bindings: [binding] });
    this.put(
      `{ apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: { name: ambit-waypoint, namespace: shop,
        annotations: { ambit.io/binding: ${JSON.stringify(record)} } }, spec: { gatewayClassName: istio-waypoint, listeners: [] } }`,
    );
  }

  /** `name scope rules` of every policy, the waypoint's rule left out; then the names on the pod. */
  pushed(): readonly string[] {
    const policies = [...this.index.authorizations.values()].map(({ name, body }) => {
      const decoded = decodeAuthorization(body);
      assert.ok(decoded.ok);
      const { scope, rules } = decoded.value;
      const own = rules.filter((rule) => !JSON.stringify(rule).includes("ambit-waypoint"));
      return `${name} ${scope} ${own.length}`;
    });
    const workload = this.index.addresses.get("Kubernetes//Pod/shop/catalog");
    assert.ok(workload !== undefined);
    const decoded = decodeAddress(workload.body);
    assert.ok(decoded.ok && decoded.value.kind === "workload");
    return [...policies.toSorted(), `pod: ${decoded.value.workload.authorizationPolicies.join()}`];
  }
}

test("of a namespace: the old form rules until the binding is enforced, and is never gone before the new one is there", () => {
  const mesh = new Mesh();
  mesh.put(WORLD);
  mesh.policy(L4);
  assert.deepEqual(mesh.pushed(), ["shop/p namespace 1", "pod: "]);
  mesh.policy(L7);
  const meanwhile = ["shop/ambit_next_p workload-selector 0", "shop/p namespace 1"];
  assert.deepEqual(mesh.pushed(), [...meanwhile, "pod: "]);
  for (const stage of ["starting", "exempting", "binding", "draining"] as const) {
    mesh.binding(stage);
    assert.deepEqual(mesh.pushed(), [...meanwhile, "pod: "], stage);
  }
  mesh.binding("denying");
  const only = "ambit_only_through_waypoint";
  const denying = mesh.pushed();
  assert.deepEqual(
    denying.filter((line) => !line.startsWith(`shop/${only}`)),
    [...meanwhile, `pod: shop/ambit_next_p,shop/${only}`],
  );
  mesh.binding("enforced");
  assert.deepEqual(
    mesh.pushed().filter((line) => !line.startsWith(`shop/${only}`)),
    ["shop/p workload-selector 0", `pod: shop/${only},shop/p`],
  );
});

test("by selector: pods go on naming it, those that its new selector leaves out too", () => {
  const mesh = new Mesh();
  mesh.put(WORLD);
  mesh.policy(`selector: { matchLabels: { app: catalog } }, ${L4}`);
  assert.deepEqual(mesh.pushed(), ["shop/p workload-selector 1", "pod: shop/p"]);
  mesh.policy(`selector: { matchLabels: { app: catalog } }, ${L7}`);
  assert.deepEqual(mesh.pushed(), [
    "shop/ambit_next_p workload-selector 0",
    "shop/p workload-selector 1",
    "pod: shop/p",
  ]);
});

test("a policy that was about requests from the beginning has no former form", () => {
  const mesh = new Mesh();
  mesh.put(WORLD);
  mesh.policy(L7);
  assert.deepEqual(mesh.pushed(), ["shop/p workload-selector 0", "pod: "]);
});

test("changed back, deleted, or of no use to any waypoint: the former form goes at once", () => {
  const back = new Mesh();
  back.put(WORLD);
  back.policy(L4);
  back.policy(L7);
  back.policy(L4);
  assert.deepEqual(back.pushed(), ["shop/p namespace 1", "pod: "]);
  const useless = new Mesh();
  useless.put(WORLD.replace("istio.io/dataplane-mode: ambient", "istio.io/dataplane-mode: none"));
  useless.policy(L4);
  useless.policy(L7);
  assert.deepEqual(useless.pushed(), ["shop/p workload-selector 0", "pod: shop/p"]);
});

test("into one about a service: the old form rules until the binding is enforced, and the new one is nothing that ztunnels get", () => {
  const mesh = new Mesh();
  mesh.put(WORLD);
  mesh.put(
    "{ apiVersion: v1, kind: Service, metadata: { name: catalog, namespace: shop }, spec: { clusterIPs: [10.96.0.1], selector: { app: catalog }, ports: [{ port: 80 }] } }",
  );
  mesh.policy(`selector: { matchLabels: { app: catalog } }, ${L4}`);
  mesh.policy(`targetRefs: [{ group: "", kind: Service, name: catalog }], ${L7}`);
  assert.deepEqual(mesh.pushed(), ["shop/p workload-selector 1", "pod: shop/p"]);
  mesh.binding("draining");
  assert.deepEqual(mesh.pushed(), ["shop/p workload-selector 1", "pod: shop/p"]);
  mesh.binding("enforced");
  assert.ok(!mesh.pushed().some((line) => line.startsWith("shop/p ")), "the waypoint judges by the new one");
});

test("into a dry run: the user wants nothing of it in force any more", () => {
  const mesh = new Mesh();
  mesh.put(WORLD);
  mesh.policy(L4);
  mesh.put(
    `{ apiVersion: security.istio.io/v1, kind: AuthorizationPolicy,
      metadata: { name: p, namespace: shop, annotations: { istio.io/dry-run: "true" } }, spec: { ${L7} } }`,
  );
  assert.equal(mesh.index.policies.formerForms.size, 0);
});
