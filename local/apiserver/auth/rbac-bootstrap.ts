/** Pure data. The roles and bindings every cluster starts with. */
import type { V1PolicyRule } from "@kubernetes/client-node";

export interface BootstrapRole {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly rules: readonly V1PolicyRule[];
  /** Label whose carriers' rules are merged into this role. */
  readonly aggregates?: string;
  /** Groups that have it. */
  readonly groups?: readonly string[];
}

const READ = ["get", "list", "watch"];
const WRITE = ["create", "delete", "deletecollection", "patch", "update"];
const toView = { "rbac.authorization.k8s.io/aggregate-to-view": "true" };
const toEdit = { "rbac.authorization.k8s.io/aggregate-to-edit": "true" };
const toAdmin = { "rbac.authorization.k8s.io/aggregate-to-admin": "true" };

function rule(groups: string, resources: string, verbs: readonly string[]): V1PolicyRule {
  return { apiGroups: groups.split(","), resources: resources.split(" "), verbs: [...verbs] };
}

const WORKLOADS =
  "daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status";
const CORE_READ =
  "configmaps endpoints events namespaces pods pods/log pods/status serviceaccounts services services/status";
const CORE_WRITE =
  "configmaps events pods pods/attach pods/exec pods/portforward pods/eviction secrets serviceaccounts services";
const INFO_PATHS = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
const DISCOVERY_PATHS = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", ...INFO_PATHS];

const USER_ROLES: readonly BootstrapRole[] = [
  {
    name: "cluster-admin",
    rules: [
      { apiGroups: ["*"], resources: ["*"], verbs: ["*"] },
      { nonResourceURLs: ["*"], verbs: ["*"] },
    ],
    groups: ["system:masters"],
  },
  { name: "admin", rules: [], aggregates: "rbac.authorization.k8s.io/aggregate-to-admin" },
  { name: "edit", labels: toAdmin, rules: [], aggregates: "rbac.authorization.k8s.io/aggregate-to-edit" },
  { name: "view", labels: toEdit, rules: [], aggregates: "rbac.authorization.k8s.io/aggregate-to-view" },
  {
    name: "system:aggregate-to-admin",
    labels: toAdmin,
    rules: [
      rule("rbac.authorization.k8s.io", "roles rolebindings", [...READ, ...WRITE]),
      rule("authorization.k8s.io", "localsubjectaccessreviews", ["create"]),
    ],
  },
  {
    name: "system:aggregate-to-edit",
    labels: toEdit,
    rules: [
      rule("", CORE_WRITE, WRITE),
      rule("", "pods/attach pods/exec pods/portforward secrets", READ),
      rule("", "serviceaccounts", ["impersonate"]),
      rule("", "serviceaccounts/token", ["create"]),
      rule("apps", WORKLOADS, WRITE),
      rule("autoscaling", "horizontalpodautoscalers", WRITE),
      rule("networking.k8s.io", "networkpolicies", WRITE),
      rule("coordination.k8s.io", "leases", [...READ, ...WRITE]),
    ],
  },
  {
    name: "system:aggregate-to-view",
    labels: toView,
    rules: [
      rule("", CORE_READ, READ),
      rule("apps", WORKLOADS, READ),
      rule("autoscaling", "horizontalpodautoscalers", READ),
      rule("networking.k8s.io", "networkpolicies", READ),
      rule("discovery.k8s.io", "endpointslices", READ),
    ],
  },
];

const SYSTEM_ROLES: readonly BootstrapRole[] = [
  {
    name: "system:discovery",
    rules: [{ nonResourceURLs: DISCOVERY_PATHS, verbs: ["get"] }],
    groups: ["system:authenticated"],
  },
  {
    name: "system:public-info-viewer",
    rules: [{ nonResourceURLs: INFO_PATHS, verbs: ["get"] }],
    groups: ["system:authenticated", "system:unauthenticated"],
  },
  {
    name: "system:basic-user",
    rules: [
      rule("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", ["create"]),
      rule("authentication.k8s.io", "selfsubjectreviews", ["create"]),
    ],
    groups: ["system:authenticated"],
  },
  {
    name: "system:auth-delegator",
    rules: [
      rule("authentication.k8s.io", "tokenreviews", ["create"]),
      rule("authorization.k8s.io", "subjectaccessreviews", ["create"]),
    ],
  },
  {
    name: "system:node",
    rules: [
      rule("", "nodes nodes/status", ["create", "get", "list", "watch", "patch", "update"]),
      rule("", "pods", ["get", "list", "watch", "create", "delete"]),
      rule("", "pods/status", ["patch", "update"]),
      rule("", "services endpoints configmaps secrets serviceaccounts namespaces", READ),
      rule("", "serviceaccounts/token", ["create"]),
      rule("", "events", ["create", "patch", "update"]),
      rule("discovery.k8s.io", "endpointslices", READ),
      rule("coordination.k8s.io", "leases", ["create", "get", "patch", "update", "delete"]),
      rule("authentication.k8s.io", "tokenreviews", ["create"]),
      rule("authorization.k8s.io", "subjectaccessreviews localsubjectaccessreviews", ["create"]),
    ],
    groups: ["system:nodes"],
  },
];

export const BOOTSTRAP_ROLES: readonly BootstrapRole[] = [...USER_ROLES, ...SYSTEM_ROLES];
