/** Objects of which the table of `needs-waypoint.test.ts` speaks, as YAML, and what they need, as lines. */
import assert from "node:assert/strict";
import { loadYaml } from "../source/file-source.ts";
import { Sources } from "../sources.ts";
import { translateMeshPolicy } from "../translate/mesh-policy.ts";
import { scopeKey } from "../waypoints/binding/binding.ts";
import { needsWaypoint } from "../waypoints/needs/needs-waypoint.ts";
import { LABEL_GATEWAY_NAME } from "../waypoints/gateway/waypoint-pods.ts";
import { testMeshConfig } from "./builders.ts";

/** Two enrolled namespaces and one that is not; a catalog behind two services, a database, a frontend. */
const WORLD = `
{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } } }
---
{ apiVersion: v1, kind: Namespace, metadata: { name: empty, labels: { istio.io/dataplane-mode: ambient } } }
---
{ apiVersion: v1, kind: Namespace, metadata: { name: outside } }
---
{ apiVersion: v1, kind: Namespace, metadata: { name: istio-system } }
---
${pod("shop", "catalog")}
---
${pod("shop", "db")}
---
${pod("shop", "frontend")}
---
${pod("outside", "catalog")}
---
${service("shop", "catalog", "catalog")}
---
${service("shop", "catalog-admin", "catalog")}
---
${service("shop", "db", "db")}
---
{ apiVersion: v1, kind: Service, metadata: { name: elsewhere, namespace: shop }, spec: { type: ExternalName } }
`;

export function pod(namespace: string, app: string, more = ""): string {
  return `{ apiVersion: v1, kind: Pod, metadata: { name: ${app}-1, namespace: ${namespace}, labels: { app: ${app} } },
    spec: { serviceAccountName: ${app}, nodeName: n1${more} }, status: { phase: Running } }`;
}

export function service(namespace: string, name: string, app: string, labels = ""): string {
  return `{ apiVersion: v1, kind: Service, metadata: { name: ${name}, namespace: ${namespace}, labels: { ${labels} } },
    spec: { selector: { app: ${app} }, ports: [{ port: 80 }] } }`;
}

export function policy(name: string, spec: string, namespace = "shop"): string {
  return `{ apiVersion: security.istio.io/v1, kind: AuthorizationPolicy,
    metadata: { name: ${name}, namespace: ${namespace}, generation: 1 }, spec: { ${spec} } }`;
}

export const WAYPOINT = `{ apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: { name: wp, namespace: shop },
  spec: { gatewayClassName: istio-waypoint, listeners: [] } }`;
export const CATALOG = "selector: { matchLabels: { app: catalog } }";
export const GET = "rules: [{ to: [{ operation: { methods: [GET] } }] }]";
export const L4 = 'rules: [{ from: [{ source: { principals: ["a/ns/b/sa/c"] } }] }]';
export const METHODS = "spec.rules[0].to[0].operation.methods";

/** `namespace policy scope: field` and `policy: gap what`, sorted. */
export function needsOf(objects: readonly string[], mesh = testMeshConfig): readonly string[] {
  const sources = new Sources();
  const loaded = loadYaml([WORLD, ...objects].join("\n---\n"), sources);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const { namespaces, gaps, explicit, waysAround } = needsWaypoint({
    rootNamespace: "istio-system",
    enrolment: { systemNamespace: "istio-system", excludedNamespaces: ["kube-system"] },
    policies: [...sources.authorizationPolicies.values()]
      .map((object) => translateMeshPolicy(object, mesh))
      .filter(({ request }) => request !== undefined),
    namespaces: [...sources.namespaces.values()],
    pods: [...sources.pods.values()],
    services: [...sources.services.values()],
    isWaypointPod: ({ metadata }) => metadata.labels[LABEL_GATEWAY_NAME] !== undefined,
    explicitWaypoints: new Set(sources.gateways.size > 0 ? ["shop/wp"] : []),
    immediately: (_namespace, key) => key.startsWith("shop/now"),
  });
  return [
    ...[...namespaces].flatMap(([namespace, list]) =>
      list.map(
        ({ policy: key, field, scope, observes, immediately }) =>
          `${namespace} ${key} ${scopeKey(scope)}: ${field}${observes === true ? " (observed)" : ""}${immediately === true ? " (immediately)" : ""}`,
      ),
    ),
    ...[...gaps].flatMap(([key, list]) => list.map(({ reason, what }) => `${key}: ${reason} ${what}`)),
    ...[...waysAround].flatMap(([key, list]) => list.map((name) => `${key}: way around ${name}`)),
    ...[...explicit].flatMap(([key, list]) => list.map((name) => `${key}: explicit ${name}`)),
  ].toSorted();
}
