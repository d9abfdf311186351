/** Policies of the sample shop that suites and tour apply. */

/** Frontend may only read the catalog's items. */
export const ITEMS_POLICY = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: items, namespace: shop }
spec:
  selector: { matchLabels: { app: catalog } }
  action: ALLOW
  rules:
    - from: [{ source: { principals: ["cluster.local/ns/shop/sa/frontend"] } }]
      to: [{ operation: { methods: [GET], paths: ["/items*"] } }]
`;

/** Older than every HTTP policy, and of L4 alone. */
export const NO_VISITORS = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-visitors, namespace: shop }
spec:
  selector: { matchLabels: { app: catalog } }
  action: DENY
  rules: [{ from: [{ source: { principals: ["cluster.local/ns/shop/sa/default"] } }] }]
`;

/** Nobody changes the catalog, whatever waypoint the namespace uses. */
export const READ_ONLY = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: read-only, namespace: shop }
spec:
  targetRefs: [{ group: "", kind: Service, name: catalog }]
  action: DENY
  rules:
    - to: [{ operation: { notMethods: [GET] } }]
`;

/** Notes who changes the catalog, and refuses nobody. */
export const AUDIT_WRITES = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: watch, namespace: shop }
spec:
  selector: { matchLabels: { app: catalog } }
  action: AUDIT
  rules:
    - to: [{ operation: { notMethods: [GET] } }]
`;

/** A waypoint that a user asks for. */
export const OWN_WAYPOINT = "own";
export const OWN_GATEWAY = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: ${OWN_WAYPOINT}, namespace: shop, labels: { istio.io/waypoint-for: service } }
spec:
  gatewayClassName: istio-waypoint
  listeners: [{ name: mesh, port: 15008, protocol: HBONE }]
`;
