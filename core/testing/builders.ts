/** Values of the model with sensible defaults; a test names only what it is about. */
import { type Authorization, EMPTY_MATCH, type AuthorizationMatch } from "../model/authorization.ts";
import { podWorkloadUid, type PolicyKey } from "../model/ids.ts";
import { NO_LOCALITY } from "../model/locality.ts";
import type { Service } from "../model/service.ts";
import { DEFAULT_CLUSTER_ID, DEFAULT_TRUST_DOMAIN } from "../model/well-known.ts";
import type { Workload } from "../model/workload.ts";
import { ip } from "../net/ip.ts";

/** A pod `name` in `default` with one address, enrolled. The uid follows name and namespace unless given. */
export function aWorkload(given: Partial<Workload> = {}): Workload {
  const { name = "web-1", namespace = "default" } = given;
  return {
    uid: podWorkloadUid(DEFAULT_CLUSTER_ID, namespace, name),
    name,
    namespace,
    addresses: [ip("10.0.0.5")],
    network: "",
    tunnelProtocol: "hbone",
    trustDomain: DEFAULT_TRUST_DOMAIN,
    serviceAccount: "web",
    waypoint: undefined,
    networkGateway: undefined,
    node: "node1",
    canonicalName: "web",
    canonicalRevision: "latest",
    workloadType: "deployment",
    workloadName: "web",
    nativeTunnel: false,
    authorizationPolicies: [],
    status: "healthy",
    clusterId: DEFAULT_CLUSTER_ID,
    hostname: "",
    services: new Map(),
    applicationTunnel: undefined,
    locality: NO_LOCALITY,
    networkMode: "standard",
    excludedPorts: [],
    capacity: 1,
    ...given,
  };
}

/** Service `web` in `default` with one virtual address and port 80 to 8080. */
export function aService(given: Partial<Service> = {}): Service {
  const { name = "web", namespace = "default" } = given;
  return {
    name,
    namespace,
    hostname: `${name}.${namespace}.svc.cluster.local`,
    vips: [{ network: "", ip: ip("10.96.0.7") }],
    cidrVips: [],
    ports: [{ servicePort: 80, targetPort: 8080, appProtocol: "unknown" }],
    subjectAltNames: [],
    waypoint: undefined,
    weightedWaypoints: [],
    loadBalancing: undefined,
    ipFamilies: "automatic",
    canonical: true,
    ingressUseWaypoint: false,
    visibility: "public",
    ...given,
  };
}

/** An ALLOW policy of its namespace without rules: nobody may. */
export function anAuthorization(given: Partial<Authorization> = {}): Authorization {
  return {
    name: "policy",
    namespace: "default",
    scope: "namespace",
    action: "allow",
    rules: [],
    dryRun: false,
    ...given,
  };
}

/** A policy with one rule of one clause of one match. */
export function anAuthorizationOf(
  match: Partial<AuthorizationMatch>,
  given: Partial<Authorization> = {},
): Authorization {
  return anAuthorization({ rules: [{ clauses: [{ matches: [aMatch(match)] }] }], ...given });
}

export function aMatch(given: Partial<AuthorizationMatch> = {}): AuthorizationMatch {
  return { ...EMPTY_MATCH, ...given };
}

/** The policy that PeerAuthentication STRICT becomes: refuse whoever has no identity. */
export function aStrictPolicy(given: Partial<Authorization> = {}): Authorization {
  return anAuthorizationOf(
    { principals: { any: [], none: [{ kind: "presence" }] } },
    {
      name: "istio_converted_static_strict",
      namespace: "istio-system",
      scope: "workload-selector",
      action: "deny",
      ...given,
    },
  );
}

export function aPolicyKey(policy: Authorization): PolicyKey {
  return `${policy.namespace}/${policy.name}` as PolicyKey;
}
