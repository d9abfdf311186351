/** Pure. The kinds that Ambit reads or writes, and where the API serves them. */

export interface Kind {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

const core = (kind: string, plural: string, namespaced: boolean): Kind => ({
  group: "",
  version: "v1",
  plural,
  kind,
  namespaced,
});

export const NAMESPACE: Kind = core("Namespace", "namespaces", false);
export const NODE: Kind = core("Node", "nodes", false);
export const POD: Kind = core("Pod", "pods", true);
export const SERVICE: Kind = core("Service", "services", true);
export const SERVICE_ACCOUNT: Kind = core("ServiceAccount", "serviceaccounts", true);
export const CONFIG_MAP: Kind = core("ConfigMap", "configmaps", true);
export const SECRET: Kind = core("Secret", "secrets", true);
export const EVENT: Kind = core("Event", "events", true);

export const ENDPOINT_SLICE: Kind = {
  group: "discovery.k8s.io",
  version: "v1",
  plural: "endpointslices",
  kind: "EndpointSlice",
  namespaced: true,
};
export const LEASE: Kind = {
  group: "coordination.k8s.io",
  version: "v1",
  plural: "leases",
  kind: "Lease",
  namespaced: true,
};
export const TOKEN_REVIEW: Kind = {
  group: "authentication.k8s.io",
  version: "v1",
  plural: "tokenreviews",
  kind: "TokenReview",
  namespaced: false,
};
export const AUTHORIZATION_POLICY: Kind = {
  group: "security.istio.io",
  version: "v1",
  plural: "authorizationpolicies",
  kind: "AuthorizationPolicy",
  namespaced: true,
};
export const PEER_AUTHENTICATION: Kind = {
  group: "security.istio.io",
  version: "v1",
  plural: "peerauthentications",
  kind: "PeerAuthentication",
  namespaced: true,
};

export const GATEWAY: Kind = {
  group: "gateway.networking.k8s.io",
  version: "v1",
  plural: "gateways",
  kind: "Gateway",
  namespaced: true,
};
export const GATEWAY_CLASS: Kind = {
  group: "gateway.networking.k8s.io",
  version: "v1",
  plural: "gatewayclasses",
  kind: "GatewayClass",
  namespaced: false,
};
export const REPLICA_SET: Kind = {
  group: "apps",
  version: "v1",
  plural: "replicasets",
  kind: "ReplicaSet",
  namespaced: true,
};
export const DEPLOYMENT: Kind = {
  group: "apps",
  version: "v1",
  plural: "deployments",
  kind: "Deployment",
  namespaced: true,
};

export interface ObjectPath {
  readonly namespace?: string | undefined;
  readonly name?: string;
  readonly subresource?: string;
}

/** URL path of a collection (no name) or an object. Segments are escaped. */
export function kindPath(kind: Kind, at: ObjectPath = {}): string {
  const root = kind.group === "" ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  const inNamespace = kind.namespaced && at.namespace !== undefined && at.namespace !== "";
  const segments = [
    ...(inNamespace ? ["namespaces", at.namespace ?? ""] : []),
    kind.plural,
    ...(at.name === undefined ? [] : [at.name]),
    ...(at.subresource === undefined ? [] : [at.subresource]),
  ];
  return `${root}/${segments.map(encodeURIComponent).join("/")}`;
}

/** `v1` or `group/version`. */
export function apiVersion(kind: Kind): string {
  return kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
}
