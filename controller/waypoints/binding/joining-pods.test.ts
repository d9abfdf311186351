/** Running pods that come under an enforced policy get the usual drain; whatever was closed, or is new, or is not known, is closed at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyKey } from "#core/model/ids.ts";
import { createManualClock } from "#core/testing/manual-clock.ts";
import { decodeAddress } from "#core/wire/address-codec.ts";
import { Scheduler } from "../../collections/scheduler.ts";
import { keepJoining } from "./joining-pods.ts";
import { MeshIndex } from "../../mesh-index.ts";
import { loadYaml } from "../../source/file-source.ts";
import { Sources } from "../../sources.ts";
import { testMeshConfig } from "../../test/builders.ts";
import type { Stage } from "./binding.ts";
import { formatRecord } from "../gateway/waypoint-record.ts";

const DRAIN_MS = 5_500;

interface PodFacts {
  readonly app: string;
  readonly labels?: string;
  readonly uid?: string;
  readonly phase?: string;
  readonly ip?: string;
}

/** One namespace in which a policy about `app: catalog` is in a stage, and one pod. */
class Mesh {
  readonly #sources = new Sources();
  readonly #scheduler = new Scheduler();
  readonly #clock = createManualClock();
  readonly #index = new MeshIndex(this.#sources, testMeshConfig, this.#scheduler);
  isPublished = true;

  constructor(stage: Stage) {
    const { joining, pods } = this.#index.waypoints;
    const onChange = (): void => this.#settle();
    const isPublished = (): boolean => this.isPublished;
    keepJoining({ joining, pods, clock: this.#clock, isPublished, drainMs: DRAIN_MS, onChange });
    this.namespace("");
    this.gateway(stage);
  }

  namespace(labels: string): void {
    this.#put(
      `{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient, ${labels} } } }`,
    );
  }

  gateway(stage: Stage): void {
    const scope = { kind: "workloads", labels: { app: "catalog" } } as const;
    const binding = { policy: "shop/p" as PolicyKey, field: "spec", scope, stage, sinceMs: 0 };
    this.#gateway("ambit-waypoint", formatRecord({ deploymentUid: "uid", bindings: [binding] }));
  }

  /** A waypoint that people made, and that the whole namespace uses. */
  own(): void {
    const attached = [{ carrier: "namespace shop", stage: "enforced" as const, sinceMs: 0 }];
    this.#gateway("own", formatRecord({ deploymentUid: "uid", bindings: [], attached }));
    this.#put(`{ apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: { name: p, namespace: shop, generation: 1 },
      spec: { selector: { matchLabels: { app: catalog } }, rules: [{ to: [{ operation: { methods: [GET] } }] }] } }`);
  }

  pod({ app, labels = "", uid = "uid-1", phase = "Running", ip = "10.0.0.1" }: PodFacts): void {
    const status = ip === "" ? "" : `, podIPs: [{ ip: ${ip} }]`;
    this.#put(`{ apiVersion: v1, kind: Pod, metadata: { name: one, namespace: shop, uid: ${uid}, labels: { app: ${app}, ${labels} } },
      spec: { serviceAccountName: one, nodeName: n1 }, status: { phase: ${phase}${status} } }`);
  }

  advance(ms: number): Promise<void> {
    return this.#clock.advance(ms);
  }

  /** `b` when callers are sent through the waypoint, `d` when nobody else may come, `l` when ztunnels apply the policy as far as they can. */
  seen(): string {
    const encoded = this.#index.addresses.get("Kubernetes//Pod/shop/one");
    if (encoded === undefined) return "nothing";
    const decoded = decodeAddress(encoded.body);
    assert.ok(decoded.ok && decoded.value.kind === "workload");
    const { waypoint, authorizationPolicies: names } = decoded.value.workload;
    const denies = names.some((name) => name.startsWith("shop/ambit_only_through_waypoint"));
    return [waypoint && "b", denies && "d", names.includes("shop/p" as PolicyKey) && "l"]
      .filter(Boolean)
      .join("");
  }

  #gateway(name: string, record: string): void {
    this.#put(`{ apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: { name: ${name}, namespace: shop,
      annotations: { ambit.io/binding: '${record}' } }, spec: { gatewayClassName: istio-waypoint, listeners: [] } }`);
  }

  #put(text: string): void {
    const loaded = loadYaml(text, this.#sources);
    assert.ok(loaded.ok, JSON.stringify(loaded));
    this.#settle();
  }

  /** A run ends where a subscriber has changed what it had just computed. */
  #settle(): void {
    for (let runs = 0; !this.#scheduler.run(); runs++) assert.ok(runs < 10);
  }
}

test("a running pod that is relabelled into it: bound at once, closed after the drain", async () => {
  const mesh = new Mesh("enforced");
  mesh.pod({ app: "other" });
  assert.equal(mesh.seen(), "");
  mesh.pod({ app: "catalog" });
  assert.equal(mesh.seen(), "b");
  await mesh.advance(DRAIN_MS - 1);
  assert.equal(mesh.seen(), "b");
  await mesh.advance(1);
  assert.equal(mesh.seen(), "bd");
});

test("labels that change again meanwhile do not begin it anew", async () => {
  const mesh = new Mesh("enforced");
  mesh.pod({ app: "other" });
  mesh.pod({ app: "catalog" });
  await mesh.advance(DRAIN_MS - 1);
  mesh.pod({ app: "catalog", labels: "more: labels" });
  await mesh.advance(1);
  assert.equal(mesh.seen(), "bd");
});

test("out of it and in again: the time is that of the last one, and what ended meanwhile ends nothing", async () => {
  const mesh = new Mesh("enforced");
  mesh.pod({ app: "other" });
  mesh.pod({ app: "catalog" });
  await mesh.advance(1_000);
  mesh.pod({ app: "other" });
  assert.equal(mesh.seen(), "");
  mesh.pod({ app: "catalog" });
  await mesh.advance(DRAIN_MS - 1_000);
  assert.equal(mesh.seen(), "b");
  await mesh.advance(1_000);
  assert.equal(mesh.seen(), "bd");
});

const AT_ONCE: readonly (readonly [string, (mesh: Mesh) => void])[] = [
  ["a pod that was not known before", () => undefined],
  ["a pod that had no address yet", (mesh) => mesh.pod({ app: "other", ip: "" })],
  ["another pod of the name", (mesh) => mesh.pod({ app: "other", uid: "uid-0" })],
  ["one that had ended", (mesh) => mesh.pod({ app: "other", phase: "Failed" })],
  [
    "one that is told piece by piece while a controller starts",
    (mesh) => {
      mesh.isPublished = false;
      mesh.pod({ app: "other" });
    },
  ],
  ["one that was closed already", (mesh) => mesh.pod({ app: "catalog", labels: "more: labels" })],
];
for (const [what, before] of AT_ONCE) {
  test(`closed at once: ${what}`, () => {
    const mesh = new Mesh("enforced");
    before(mesh);
    mesh.pod({ app: "catalog" });
    assert.equal(mesh.seen(), "bd");
  });
}

test("a pod that is there while the binding goes its way, or that is to be closed at once, is closed when that says so", () => {
  const mesh = new Mesh("draining");
  mesh.pod({ app: "catalog" });
  assert.equal(mesh.seen(), "b");
  mesh.gateway("denying");
  assert.equal(mesh.seen(), "bd");
  const immediate = new Mesh("resting");
  immediate.pod({ app: "other" });
  immediate.gateway("denying");
  immediate.pod({ app: "catalog" });
  assert.equal(immediate.seen(), "bd");
});

test("what ztunnels refused of it before they go on refusing", async () => {
  const mesh = new Mesh("enforced");
  mesh.own();
  mesh.namespace("istio.io/use-waypoint: own");
  mesh.pod({ app: "catalog" });
  assert.equal(mesh.seen(), "l");
  mesh.namespace("");
  assert.equal(mesh.seen(), "bl");
  await mesh.advance(DRAIN_MS);
  assert.equal(mesh.seen(), "bdl");
});
