/** Which waypoints must exist, what they bind and why: configuration in, one line per wish and per gap out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CATALOG,
  GET,
  L4,
  METHODS,
  needsOf,
  pod,
  policy,
  service,
  WAYPOINT,
} from "../../test/needs-world.ts";
import { testMeshConfig } from "../../test/builders.ts";
import type { MeshConfig } from "../../translate/mesh-config.ts";
import { LABEL_GATEWAY_NAME } from "../gateway/waypoint-pods.ts";

interface Case {
  readonly name: string;
  readonly objects: readonly string[];
  readonly mesh?: MeshConfig;
  /** `namespace policy scope: field` and `policy: gap what`, sorted. */
  readonly expected: readonly string[];
}

const CASES: readonly Case[] = [
  { name: "no policy", objects: [], expected: [] },
  { name: "L4 policies", objects: [policy("a", `${CATALOG}, ${L4}`), policy("b", L4)], expected: [] },
  {
    name: "an ALLOW rule about methods, by selector",
    objects: [policy("p", `${CATALOG}, ${GET}`)],
    expected: [`shop shop/p workloads app=catalog: ${METHODS}`],
  },
  {
    name: "a DENY rule about paths, by selector",
    objects: [policy("p", `action: DENY, ${CATALOG}, rules: [{ to: [{ operation: { paths: ["/x"] } }] }]`)],
    expected: ["shop shop/p workloads app=catalog: spec.rules[0].to[0].operation.paths"],
  },
  {
    name: "only the second rule needs it",
    objects: [
      policy("p", `${CATALOG}, rules: [{}, { when: [{ key: "request.headers[x-a]", values: [b] }] }]`),
    ],
    expected: ["shop shop/p workloads app=catalog: spec.rules[1].when[0].key"],
  },
  {
    name: "a whole namespace",
    objects: [policy("p", GET)],
    expected: [`shop shop/p workloads : ${METHODS}`],
  },
  {
    name: "a whole namespace that has no pod yet",
    objects: [policy("p", GET, "empty")],
    expected: [`empty empty/p workloads : ${METHODS}`],
  },
  {
    name: "a selector that no pod has yet",
    objects: [policy("p", `selector: { matchLabels: { app: later } }, ${GET}`)],
    expected: [`shop shop/p workloads app=later: ${METHODS}`],
  },
  {
    name: "the whole mesh: enrolled namespaces, others are passed over in silence",
    objects: [policy("p", GET, "istio-system")],
    expected: [`empty istio-system/p workloads : ${METHODS}`, `shop istio-system/p workloads : ${METHODS}`],
  },
  {
    name: "a namespace outside of the mesh",
    objects: [policy("p", GET, "outside")],
    expected: ["outside/p: NotEnrolled pod outside/catalog-1"],
  },
  {
    name: "a service by targetRefs: its other services are found later, with its pods, and are told as ways around it",
    objects: [policy("p", `targetRefs: [{ kind: Service, group: "", name: catalog }], ${GET}`)],
    expected: [`shop shop/p services catalog: ${METHODS}`, "shop/p: way around shop/catalog-admin"],
  },
  {
    name: "all services of the pods by targetRefs: there is no way around",
    objects: [
      policy(
        "p",
        `targetRefs: [{ kind: Service, group: "", name: catalog }, { kind: Service, group: "", name: catalog-admin }], ${GET}`,
      ),
    ],
    expected: [`shop shop/p services catalog,catalog-admin: ${METHODS}`],
  },
  {
    name: "a dry run is observed",
    objects: [
      policy("p", GET).replace("generation: 1", 'generation: 1, annotations: { istio.io/dry-run: "true" }'),
    ],
    mesh: { ...testMeshConfig, dryRunPolicies: true },
    expected: [`shop shop/p workloads : ${METHODS} (observed)`],
  },
  {
    name: "a service by targetRefs with L4 rules alone: ztunnels know no services",
    objects: [policy("p", `targetRefs: [{ kind: Service, group: "", name: db }], ${L4}`)],
    expected: ["shop shop/p services db: spec.targetRefs[0]"],
  },
  {
    name: "two services, one of which does not exist",
    objects: [
      policy(
        "p",
        `targetRefs: [{ kind: Service, group: "", name: db }, { kind: Service, group: "", name: nope }], ${GET}`,
      ),
    ],
    expected: [`shop shop/p services db: ${METHODS}`, "shop/p: TargetNotFound Service shop/nope"],
  },
  {
    name: "targets that cannot be",
    objects: [
      policy(
        "p",
        `targetRefs: [{ kind: Service, group: "", name: elsewhere }, { kind: Secret, group: "", name: x },
          { kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint }], ${GET}`,
      ),
    ],
    expected: [
      "shop/p: UnsupportedTarget GatewayClass shop/istio-waypoint",
      "shop/p: UnsupportedTarget Secret shop/x",
      "shop/p: UnsupportedTarget Service shop/elsewhere",
    ],
  },
  {
    name: "a Gateway by targetRefs: it is there, or it is not",
    objects: [
      WAYPOINT,
      policy("p", `targetRefs: [{ kind: Gateway, group: gateway.networking.k8s.io, name: wp }], ${GET}`),
      policy("q", `targetRefs: [{ kind: Gateway, group: gateway.networking.k8s.io, name: no }], ${GET}`),
    ],
    expected: ["shop/p: explicit shop/wp", "shop/q: TargetNotFound Gateway shop/no"],
  },
  {
    name: "several policies, one of them L4",
    objects: [policy("a", GET), policy("b", `${CATALOG}, ${GET}`), policy("c", L4)],
    expected: [`shop shop/a workloads : ${METHODS}`, `shop shop/b workloads app=catalog: ${METHODS}`],
  },
  {
    name: "AUDIT by fields of requests is observed; by fields of connections alone it needs nothing",
    objects: [
      policy("a", `action: AUDIT, ${GET}`),
      policy("b", `action: AUDIT, ${L4}`),
      policy("c", `action: AUDIT, targetRefs: [{ kind: Service, group: "", name: db }], ${L4}`),
    ],
    expected: [
      `shop shop/a workloads : ${METHODS} (observed)`,
      "shop shop/c services db: spec.targetRefs[0] (observed)",
    ],
  },
  {
    name: "what is not in force needs nothing: CUSTOM, dry runs that are off, fields that nobody reads",
    objects: [
      policy("b", `action: CUSTOM, provider: { name: x }, ${GET}`),
      policy("c", GET).replace("generation: 1", 'generation: 1, annotations: { istio.io/dry-run: "true" }'),
      policy("d", 'rules: [{ from: [{ source: { requestPrincipals: ["*"] } }] }]'),
    ],
    expected: [],
  },
  {
    name: "the namespace has a waypoint of its own: it wins",
    objects: [
      WAYPOINT,
      `{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient,
        istio.io/use-waypoint: wp } } }`,
      policy("p", `${CATALOG}, ${GET}`),
      policy("q", `targetRefs: [{ kind: Service, group: "", name: db }], ${GET}`),
    ],
    expected: ["shop/p: explicit shop/wp", "shop/q: explicit shop/wp"],
  },
  {
    name: "a service has a waypoint of its own: so have its pods, others have not",
    objects: [
      WAYPOINT,
      service("shop", "catalog-admin", "catalog", "istio.io/use-waypoint: wp"),
      policy("p", GET),
    ],
    expected: [`shop shop/p workloads : ${METHODS}`, "shop/p: explicit shop/wp"],
  },
  {
    name: "a service has opted out: its pods cannot be bound",
    objects: [
      service("shop", "catalog-admin", "catalog", "istio.io/use-waypoint: none"),
      policy("p", `${CATALOG}, ${GET}`),
      policy("q", `targetRefs: [{ kind: Service, group: "", name: catalog-admin }], ${GET}`),
    ],
    expected: ["shop/p: OptedOut service shop/catalog-admin", "shop/q: OptedOut service shop/catalog-admin"],
  },
  {
    name: "the namespace has opted out: neither its pods nor its services are bound",
    objects: [
      `{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient,
        istio.io/use-waypoint: none } } }`,
      policy("p", `${CATALOG}, ${GET}`),
      policy("q", `targetRefs: [{ kind: Service, group: "", name: db }], ${GET}`),
    ],
    expected: ["shop/p: OptedOut namespace shop", "shop/q: OptedOut namespace shop"],
  },
  {
    name: "one pod has opted out: others have not",
    objects: [
      pod("shop", "frontend").replace("app: frontend", "app: frontend, istio.io/use-waypoint: none"),
      policy("p", GET),
      policy("q", `selector: { matchLabels: { app: frontend } }, ${GET}`),
    ],
    expected: [
      `shop shop/p workloads : ${METHODS}`,
      "shop/p: OptedOut pod shop/frontend-1",
      "shop/q: OptedOut pod shop/frontend-1",
    ],
  },
  {
    name: "a service's own label beats that of its namespace",
    objects: [
      WAYPOINT,
      `{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient,
        istio.io/use-waypoint: wp } } }`,
      service("shop", "db", "db", "istio.io/use-waypoint: none"),
      policy("p", `action: DENY, targetRefs: [{ kind: Service, group: "", name: db }], ${GET}`),
    ],
    expected: ["shop/p: OptedOut service shop/db"],
  },
  {
    name: "the class of waypoints, in the root namespace: every waypoint that people made",
    objects: [
      WAYPOINT,
      policy(
        "p",
        `targetRefs: [{ kind: GatewayClass, group: gateway.networking.k8s.io, name: istio-waypoint }], ${GET}`,
        "istio-system",
      ),
    ],
    expected: ["istio-system/p: explicit shop/wp"],
  },
  {
    name: "namespaces that are never enrolled, or are going away",
    objects: [
      "{ apiVersion: v1, kind: Namespace, metadata: { name: kube-system, labels: { istio.io/dataplane-mode: ambient } } }",
      `{ apiVersion: v1, kind: Namespace, metadata: { name: empty, labels: { istio.io/dataplane-mode: ambient } },
        status: { phase: Terminating } }`,
      policy("p", GET, "kube-system"),
      policy("q", GET, "empty"),
    ],
    expected: [],
  },
  {
    name: "callers are held where that is asked for; nobody is held for what is only observed",
    objects: [policy("now", `${CATALOG}, ${GET}`), policy("now-audit", `action: AUDIT, ${CATALOG}, ${GET}`)],
    expected: [
      `shop shop/now workloads app=catalog: ${METHODS} (immediately)`,
      `shop shop/now-audit workloads app=catalog: ${METHODS} (observed)`,
    ],
  },
  {
    name: "a pod with the node's network, and one that has opted out of the mesh",
    objects: [
      pod("shop", "catalog", ", hostNetwork: true"),
      pod("shop", "frontend").replace("app: frontend", "app: frontend, istio.io/dataplane-mode: none"),
      policy("p", GET),
    ],
    expected: [
      `shop shop/p workloads : ${METHODS}`,
      "shop/p: HostNetwork pod shop/catalog-1",
      "shop/p: NotEnrolled pod shop/frontend-1",
    ],
  },
  {
    name: "one enrolled pod in a namespace that is not",
    objects: [
      pod("outside", "catalog").replace("app: catalog", "app: catalog, istio.io/dataplane-mode: ambient"),
      policy("p", `${CATALOG}, ${GET}`, "outside"),
    ],
    expected: [`outside outside/p workloads app=catalog: ${METHODS}`],
  },
  {
    name: "pods that are waypoints are nobody's application",
    objects: [
      pod("shop", "frontend").replace(
        "app: frontend",
        `app: frontend, istio.io/dataplane-mode: none, ${LABEL_GATEWAY_NAME}: wp`,
      ),
      policy("p", GET),
    ],
    expected: [`shop shop/p workloads : ${METHODS}`],
  },
];

for (const { name, objects, mesh, expected } of CASES) {
  test(`needs: ${name}`, () => {
    assert.deepEqual(needsOf(objects, mesh), expected.toSorted());
  });
}

test("the order of objects does not matter", () => {
  const objects = [policy("a", GET), policy("b", `${CATALOG}, ${GET}`), policy("c", GET, "empty")];
  assert.deepEqual(needsOf(objects), needsOf(objects.toReversed()));
});
