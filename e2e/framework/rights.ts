/** Everything that an account may do, asked of the API one right at a time, and what the mesh's accounts ought to have. */
import { jsonObject } from "#core/k8s/json-read.ts";
import type { Mesh } from "./mesh.ts";

interface Resource {
  readonly group: string;
  /** With `/subresource`. */
  readonly name: string;
  /** Names asked for beside "any". */
  readonly names?: readonly string[];
}

const VERBS = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const core = (name: string, names?: readonly string[]): Resource => ({
  group: "",
  name,
  ...(names && { names }),
});

const RESOURCES: readonly Resource[] = [
  ...["namespaces", "nodes", "nodes/proxy", "pods", "pods/status", "pods/exec", "pods/log"].map((n) =>
    core(n),
  ),
  ...["pods/ephemeralcontainers", "services", "services/status", "services/proxy", "events"].map((n) =>
    core(n),
  ),
  ...["serviceaccounts", "serviceaccounts/token", "persistentvolumes"].map((n) => core(n)),
  core("secrets", ["istio-ca-secret", "cacerts", "other"]),
  core("configmaps", ["istio", "istio-ca-root-cert", "other"]),
  { group: "apps", name: "daemonsets", names: ["istio-cni-node", "ztunnel"] },
  { group: "apps", name: "deployments" },
  { group: "apps", name: "replicasets" },
  { group: "discovery.k8s.io", name: "endpointslices" },
  { group: "coordination.k8s.io", name: "leases", names: ["ambit-controller-leader", "other"] },
  { group: "authentication.k8s.io", name: "tokenreviews" },
  { group: "authorization.k8s.io", name: "subjectaccessreviews" },
  { group: "apiextensions.k8s.io", name: "customresourcedefinitions" },
  { group: "admissionregistration.k8s.io", name: "validatingadmissionpolicies" },
  { group: "admissionregistration.k8s.io", name: "validatingwebhookconfigurations" },
  ...["roles", "rolebindings", "clusterroles", "clusterrolebindings"].map((name) => ({
    group: "rbac.authorization.k8s.io",
    name,
  })),
  ...["authorizationpolicies", "peerauthentications"].flatMap((name) => [
    { group: "security.istio.io", name },
    { group: "security.istio.io", name: `${name}/status` },
  ]),
  ...["gateways", "gateways/status"].map((name) => ({ group: "gateway.networking.k8s.io", name })),
  ...["gatewayclasses", "gatewayclasses/status"].map((name) => ({
    group: "gateway.networking.k8s.io",
    name,
    names: ["istio-waypoint", "other"],
  })),
];

const SPECIAL: readonly (readonly [string, Resource])[] = [
  ["impersonate", core("users")],
  ["impersonate", core("serviceaccounts")],
  ["bind", { group: "rbac.authorization.k8s.io", name: "clusterroles" }],
  ["escalate", { group: "rbac.authorization.k8s.io", name: "clusterroles" }],
];

const NAMESPACES = ["istio-system", "shop"];
const AT_ONCE = 32;

interface Question {
  readonly verb: string;
  readonly resource: Resource;
  readonly name: string;
  readonly namespace: string;
}

function questions(): readonly Question[] {
  const plain = RESOURCES.flatMap((resource) => VERBS.map((verb) => [verb, resource] as const));
  return [...plain, ...SPECIAL].flatMap(([verb, resource]) =>
    NAMESPACES.flatMap((namespace) =>
      ["", ...(resource.names ?? [])].map((name) => ({ verb, resource, name, namespace })),
    ),
  );
}

/** `namespace: verb resource[ name]` for each right that is granted; `name` only where it is needed. */
export async function rightsOf(
  mesh: Mesh,
  user: string,
): Promise<{ readonly allowed: readonly string[]; readonly asked: number }> {
  const all = [...questions()];
  const [granted, waiting]: [Set<Question>, Question[]] = [new Set(), [...all]];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop())
        if (await isAllowed(mesh, user, next)) granted.add(next);
    }),
  );
  const unnamed = new Set([...granted].filter((q) => q.name === "").map((q) => text(q)));
  const lines = [...granted].filter((q) => q.name === "" || !unnamed.has(text({ ...q, name: "" }))).map(text);
  return { allowed: lines.toSorted(), asked: all.length };
}

function text({ verb, resource, name, namespace }: Question): string {
  return `${namespace}: ${verb} ${resource.name}${name === "" ? "" : ` ${name}`}`;
}

async function isAllowed(mesh: Mesh, user: string, question: Question): Promise<boolean> {
  const { verb, resource, name, namespace } = question;
  const [plural = "", subresource = ""] = resource.name.split("/");
  const resourceAttributes = { verb, group: resource.group, resource: plural, subresource, name, namespace };
  const [, , accountNamespace = ""] = user.split(":");
  const groups = [
    "system:authenticated",
    "system:serviceaccounts",
    `system:serviceaccounts:${accountNamespace}`,
  ];
  const answer = await mesh.client.json({
    method: "POST",
    path: "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    body: {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: { user, groups, resourceAttributes },
    },
  });
  return jsonObject(jsonObject(answer)["status"])["allowed"] === true;
}

/** Per account of the mesh, in the form of `rightsOf`. */
export function expectedRights(): ReadonlyMap<string, readonly string[]> {
  const everywhere = (verbs: string, ...resources: readonly string[]): readonly string[] =>
    NAMESPACES.flatMap((namespace) => own(namespace, verbs, ...resources));
  const own = (namespace: string, verbs: string, ...resources: readonly string[]): readonly string[] =>
    resources.flatMap((resource) => verbs.split(" ").map((verb) => `${namespace}: ${verb} ${resource}`));
  const policies = ["authorizationpolicies", "peerauthentications"];
  const system = "istio-system";
  return new Map([
    [
      "ambit-controller",
      [
        ...everywhere("list watch", "namespaces", "pods", "services", "nodes", "serviceaccounts"),
        ...everywhere("list watch", "endpointslices", ...policies),
        ...everywhere("list watch", "gateways", "gatewayclasses", "replicasets"),
        ...everywhere("list", "deployments"),
        ...everywhere("patch", "services/status", "gateways/status", "gatewayclasses/status istio-waypoint"),
        ...everywhere("create patch", "gateways", "deployments", "services", "serviceaccounts"),
        ...everywhere("delete", "gateways", "deployments"),
        ...everywhere("patch", ...policies.map((name) => `${name}/status`)),
        ...everywhere("create", "tokenreviews", "configmaps"),
        ...everywhere("patch", "configmaps istio-ca-root-cert"),
        ...own(system, "list watch", "secrets istio-ca-secret", "secrets cacerts"),
        ...own(system, "update", "secrets istio-ca-secret"),
        ...own(system, "list watch", "configmaps istio"),
        ...own(system, "create list watch patch", "leases"),
        ...own(system, "get update", "leases ambit-controller-leader"),
      ].toSorted(),
    ],
    [
      "istio-cni",
      [
        ...everywhere("get list watch", "pods", "namespaces"),
        ...everywhere("list watch", ...policies),
        ...everywhere("patch", "pods/status"),
        ...everywhere("create", "events"),
        ...own(system, "get", "daemonsets istio-cni-node"),
      ].toSorted(),
    ],
    ["ztunnel", []],
    ["default", []],
  ]);
}
