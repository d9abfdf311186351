/** Objects of which the table of `needs-waypoint.test.ts` speaks, as YAML. */

/** Two enrolled namespaces and one that is not; a catalog behind two services, a database, a frontend. */
export const WORLD = `
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
