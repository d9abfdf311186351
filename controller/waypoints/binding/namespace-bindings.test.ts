/** What every replica pushes by itself when the record of what is bound is lost, gone or behind: nothing that was closed opens. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeAddress } from "#core/wire/address-codec.ts";
import { Scheduler } from "../../collections/scheduler.ts";
import { MeshIndex } from "../../mesh-index.ts";
import { loadYaml } from "../../source/file-source.ts";
import { Sources } from "../../sources.ts";
import { testMeshConfig } from "../../test/builders.ts";
import type { Stage } from "./binding.ts";
import { formatRecord } from "../gateway/waypoint-record.ts";

const L7 = "rules: [{ to: [{ operation: { methods: [GET] } }] }]";
const L4 = 'rules: [{ from: [{ source: { namespaces: ["shop"] } }] }]';
const BY_SERVICE = `targetRefs: [{ group: "", kind: Service, name: catalog }], ${L7}`;

interface Policy {
  readonly spec?: string;
  readonly generation?: number;
  readonly annotations?: string;
  readonly conditions?: readonly object[];
}

class Mesh {
  readonly #sources = new Sources();
  readonly #scheduler = new Scheduler();
  readonly index = new MeshIndex(this.#sources, testMeshConfig, this.#scheduler);

  constructor({ mode = "ambient", annotations = "" } = {}) {
    this.put(`
{ apiVersion: v1, kind: Namespace,
  metadata: { name: shop, labels: { istio.io/dataplane-mode: ${mode} }, annotations: { ${annotations} } } }
---
{ apiVersion: v1, kind: Pod, metadata: { name: catalog, namespace: shop, labels: { app: catalog } },
  spec: { serviceAccountName: catalog, nodeName: n1 }, status: { phase: Running, podIPs: [{ ip: 10.0.0.1 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: catalog, namespace: shop },
  spec: { clusterIPs: [10.96.0.1], selector: { app: catalog }, ports: [{ port: 80 }] } }
`);
  }

  put(text: string): void {
    const loaded = loadYaml(text, this.#sources);
    assert.ok(loaded.ok, JSON.stringify(loaded));
    assert.ok(this.#scheduler.run());
  }

  policy({ spec = L7, generation = 1, annotations = "", conditions = [] }: Policy, name = "p"): void {
    this.put(
      `{ apiVersion: security.istio.io/v1, kind: AuthorizationPolicy,
        metadata: { name: ${name}, namespace: shop, generation: ${generation}, annotations: { ${annotations} } },
        spec: { ${spec} }, status: { conditions: ${JSON.stringify(conditions)} } }`,
    );
  }

  /** `record`: undefined is a Gateway without one. */
  gateway(record: string | undefined): void {
    const annotations = record === undefined ? "" : `ambit.io/binding: ${JSON.stringify(record)}`;
    this.put(
      `{ apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: { name: ambit-waypoint, namespace: shop,
        annotations: { ${annotations} } }, spec: { gatewayClassName: istio-waypoint, listeners: [] } }`,
    );
  }

  removeGateway(): void {
    this.#sources.gateways.apply([["shop/ambit-waypoint", undefined]]);
    assert.ok(this.#scheduler.run());
  }

  /** Whether the pod refuses whoever does not come through the waypoint, and sources know of it. */
  closed(): { readonly denies: boolean; readonly binds: boolean } {
    const workload = this.index.addresses.get("Kubernetes//Pod/shop/catalog");
    assert.ok(workload !== undefined);
    const decoded = decodeAddress(workload.body);
    assert.ok(decoded.ok && decoded.value.kind === "workload");
    const { authorizationPolicies, waypoint } = decoded.value.workload;
    const names = authorizationPolicies.filter((name) => name.startsWith("shop/ambit_only_through_waypoint"));
    assert.ok(
      names.every((name) => this.index.authorizations.get(name) !== undefined),
      "named and not there",
    );
    return { denies: names.length > 0, binds: waypoint !== undefined };
  }
}

const CLOSED = { denies: true, binds: true };
const OPEN = { denies: false, binds: false };

function recordAt(stage: Stage): string {
  const scope = { kind: "workloads" as const, labels: {} };
  const binding = { policy: "shop/p" as never, field: "f", scope, stage, sinceMs: 0 };
  return formatRecord({ ...formRecord, bindings: [binding] });
}
const formRecord = { deploymentUid: "u" };
const EMPTY = formatRecord({ ...formRecord, bindings: [] });

const guarded = (message: string, reason = "OnlyThroughWaypoint"): object => ({
  type: "Guarded",
  status: "True",
  reason,
  message,
});
const IN_SHOP = guarded("pods are reached through their waypoint alone in shop");
const theirs = (observedGeneration: number): object => ({
  type: "ZtunnelAccepted",
  status: "True",
  reason: "Accepted",
  message: "attached to ztunnel",
  observedGeneration,
});

const LOST: readonly (readonly [string, string | undefined])[] = [
  ["is missing", undefined],
  ["is empty", ""],
  ["is not JSON", "{"],
  ["is of a newer form", '{"form":2,"bindings":[]}'],
  ["has a stage that this version does not know", recordAt("enforced").replace("enforced", "sealed")],
  ["is cut off", recordAt("enforced").slice(0, -5)],
];

for (const [what, record] of LOST) {
  test(`a record that ${what}: pods that policies are about stay closed, by service and by selector`, () => {
    for (const spec of [L7, BY_SERVICE]) {
      const mesh = new Mesh();
      mesh.policy({ spec });
      mesh.gateway(
        recordAt("enforced").replace('"labels":{}', spec === L7 ? '"labels":{}' : '"services":["catalog"]'),
      );
      assert.deepEqual(mesh.closed(), CLOSED);
      mesh.gateway(record);
      assert.deepEqual(mesh.closed(), CLOSED, `${spec}: lost while it runs`);
      const next = new Mesh();
      next.gateway(record);
      next.policy({ spec });
      assert.deepEqual(next.closed(), CLOSED, `${spec}: and for a controller that starts then`);
    }
  });
}

test("a lost record closes nothing that no policy asks for: L4 policies, dry runs, pods outside of the mesh", () => {
  const mesh = new Mesh();
  mesh.gateway("{");
  mesh.policy({ spec: L4 });
  assert.deepEqual(mesh.closed(), OPEN);
  mesh.policy({ annotations: 'istio.io/dry-run: "true"' });
  assert.deepEqual(mesh.closed(), OPEN);
  const outside = new Mesh({ mode: "none" });
  outside.gateway("{");
  outside.policy({});
  assert.deepEqual(outside.closed(), OPEN);
});

test("a Gateway that is deleted, or made again with an empty record: what its policies' status says is closed stays so", () => {
  const mesh = new Mesh();
  mesh.policy({ conditions: [IN_SHOP] });
  mesh.gateway(recordAt("enforced"));
  mesh.removeGateway();
  assert.deepEqual(mesh.closed(), CLOSED);
  mesh.gateway(EMPTY);
  assert.deepEqual(mesh.closed(), CLOSED);
  for (const stage of [
    "starting",
    "exempting",
    "binding",
    "draining",
    "lifting",
    "unbinding",
    "resting",
  ] as const) {
    mesh.gateway(recordAt(stage));
    assert.deepEqual(mesh.closed(), CLOSED, `a record from before, in ${stage}`);
  }
  mesh.gateway(recordAt("denying"));
  assert.deepEqual(
    mesh.index.waypoints.bindings.get("shop")?.bindings.length,
    1,
    "once it is recorded, the record rules",
  );
  assert.equal(mesh.index.waypoints.bindings.get("shop")?.immediately.size, 0);
});

test("what is not closed yet is not closed by that: a new policy, and one that is closed in another namespace alone", () => {
  for (const conditions of [[], [guarded("pods are reached through their waypoint alone in bank, street")]]) {
    const mesh = new Mesh();
    mesh.policy({ conditions });
    assert.deepEqual(mesh.closed(), OPEN);
    mesh.gateway(recordAt("starting"));
    assert.deepEqual(mesh.closed(), OPEN);
  }
});

test("a status that cannot be read closes the more", () => {
  for (const message of ["", "pods are reached through their waypoint alone in a and 3 more", "x"]) {
    const mesh = new Mesh();
    mesh.policy({ conditions: [guarded(message)] });
    assert.deepEqual(mesh.closed(), CLOSED, message);
  }
});

test("a policy that ztunnels enforced becomes one about requests while no controller runs: its pods are closed until the waypoint judges", () => {
  for (const spec of [L7, `selector: { matchLabels: { app: catalog } }, ${L7}`, BY_SERVICE]) {
    const mesh = new Mesh();
    mesh.policy({ spec, generation: 2, conditions: [theirs(1)] });
    assert.deepEqual(mesh.closed(), CLOSED, spec);
    mesh.gateway(recordAt("starting"));
    assert.deepEqual(mesh.closed(), CLOSED, `${spec}: the record was written by one that remembered`);
  }
  const told = new Mesh();
  told.policy({
    generation: 2,
    conditions: [theirs(2), guarded("ztunnels go on with ...", "FormerVersion")],
  });
  assert.deepEqual(told.closed(), CLOSED, "its status has been written meanwhile");
  const first = new Mesh();
  first.policy({ generation: 1, conditions: [theirs(1)] });
  assert.deepEqual(first.closed(), OPEN, "there was no version before");
});

test("who remembers the version before goes on with it instead", () => {
  const mesh = new Mesh();
  mesh.policy({ spec: L4, conditions: [theirs(1)] });
  mesh.policy({ generation: 2, conditions: [theirs(1)] });
  assert.deepEqual(mesh.closed(), OPEN);
  assert.ok(mesh.index.authorizations.get("shop/ambit_next_p") !== undefined);
  const fresh = new Mesh();
  fresh.policy({ generation: 2, conditions: [theirs(1)] });
  assert.deepEqual(fresh.closed(), CLOSED, "a replica that has just started");
});

test("asked for by annotation, on the policy or its namespace: the record takes it up closed; other values are named", () => {
  const asks = (mesh: Mesh): readonly string[] => [
    ...(mesh.index.waypoints.bindings.get("shop")?.immediately ?? []),
  ];
  const mesh = new Mesh();
  mesh.policy({ annotations: "ambit.io/enforce: immediately" });
  mesh.policy({}, "q");
  assert.deepEqual(asks(mesh), ["shop/p"]);
  assert.deepEqual(mesh.closed(), OPEN, "nothing is pushed before it is recorded");
  const all = new Mesh({ annotations: "ambit.io/enforce: immediately" });
  all.policy({});
  all.policy({ spec: L4 }, "l4");
  assert.deepEqual(asks(all), ["shop/p"]);
  const wrong = new Mesh({ annotations: "ambit.io/enforce: soon" });
  wrong.policy({ annotations: "ambit.io/enforce: Immediately" });
  assert.deepEqual(asks(wrong), []);
  assert.match(
    wrong.index.waypoints.bindings.get("shop")?.problem ?? "",
    /^namespace shop: metadata\.annotations ambit\.io\/enforce "soon" is not known/,
  );
  const { problems = [], requestProblems = [] } =
    wrong.index.policies.authorizationPolicies.get("shop/p") ?? {};
  for (const list of [problems, requestProblems])
    assert.ok(
      list.some(
        ({ path, message }) =>
          path === "metadata.annotations ambit.io/enforce" && message.includes('"Immediately" is not known'),
      ),
    );
});
