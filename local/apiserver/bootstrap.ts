/** What every cluster has from the start: namespaces, roles and their bindings, the Service `kubernetes`. Repeated at each start. */
import { parseCidr } from "#core/net/cidr.ts";
import { formatIp, ipToBytes } from "#core/net/ip.ts";
import type { ListenAddress } from "./apiserver-options.ts";
import { BOOTSTRAP_ROLES } from "./auth/rbac-bootstrap.ts";
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES } from "./auth/rbac.ts";
import { type ApiObject, type JsonMap } from "./object.ts";
import { internalContext, type RestDeps, type Target } from "./rest/context.ts";
import { createObject } from "./rest/create.ts";
import { modifyObject } from "./rest/modify.ts";

const NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];
const RBAC = "rbac.authorization.k8s.io";
const CONTEXT = internalContext("bootstrap");

function target(deps: RestDeps, id: string, namespace: string, name: string): Target {
  const resource = deps.registry.byId(id);
  if (resource === undefined) throw new Error(`no resource ${id}`);
  return { resource, namespace, name, subresource: "" };
}

async function ensure(deps: RestDeps, place: Target, body: JsonMap): Promise<void> {
  const key = place.resource.namespaced ? `${place.namespace}/${place.name}` : place.name;
  const live = deps.store.get(place.resource.id, key);
  if (live === undefined) await createObject(deps, { ...place, name: "" }, body, CONTEXT);
  else {
    const build = (current: ApiObject): JsonMap => ({
      ...current,
      ...body,
      metadata: { ...current.metadata, ...(body["metadata"] as JsonMap) },
    });
    await modifyObject(deps, place, { build, operation: "Update", retry: true }, CONTEXT);
  }
}

export async function bootstrap(deps: RestDeps): Promise<void> {
  for (const name of NAMESPACES) {
    if (deps.store.get("namespaces", name) === undefined)
      await ensure(deps, target(deps, "namespaces", "", name), { metadata: { name } });
  }
  for (const role of BOOTSTRAP_ROLES) {
    const { name, aggregates, labels = {}, groups = [] } = role;
    const metadata = { name, labels: { "kubernetes.io/bootstrapping": "rbac-defaults", ...labels } };
    const rule =
      aggregates === undefined
        ? { rules: role.rules }
        : { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [aggregates]: "true" } }] } };
    await ensure(deps, target(deps, CLUSTER_ROLES, "", name), { metadata, ...rule });
    if (groups.length === 0) continue;
    const subjects = groups.map((group) => ({ kind: "Group", apiGroup: RBAC, name: group }));
    const roleRef = { apiGroup: RBAC, kind: "ClusterRole", name };
    await ensure(deps, target(deps, CLUSTER_ROLE_BINDINGS, "", name), {
      metadata: { ...metadata, labels: { "kubernetes.io/bootstrapping": "rbac-defaults" } },
      roleRef,
      subjects,
    });
  }
}

/** The first address of a service block: the Service `kubernetes`. */
export function firstServiceAddress(serviceCidr: string): string {
  const cidr = parseCidr(serviceCidr);
  if (!cidr.ok) throw new Error(`"${serviceCidr}" is not a block of addresses`);
  const bytes = Uint8Array.from(ipToBytes(cidr.value.address));
  bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) + 1;
  return formatIp(bytes);
}

/**
 * The Service `kubernetes` with the addresses that really serve it. Like a real API server's it has one family, that of
 * the first service block: a second slice would be nobody's whose name the mesh could trust with nodes' addresses.
 */
export async function publishApi(
  deps: RestDeps,
  serviceCidr: string,
  endpoints: readonly ListenAddress[],
): Promise<void> {
  const port = endpoints[0]?.port ?? 6443;
  const clusterIP = firstServiceAddress(serviceCidr);
  const isV6 = clusterIP.includes(":");
  await ensure(deps, target(deps, "services", "default", "kubernetes"), {
    metadata: { name: "kubernetes", labels: { component: "apiserver", provider: "kubernetes" } },
    spec: {
      type: "ClusterIP",
      sessionAffinity: "None",
      internalTrafficPolicy: "Cluster",
      clusterIP,
      clusterIPs: [clusterIP],
      ipFamilies: [isV6 ? "IPv6" : "IPv4"],
      ipFamilyPolicy: "SingleStack",
      ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: port }],
    },
  });
  const own = endpoints.filter(({ host }) => host.includes(":") === isV6);
  await ensure(deps, target(deps, "endpointslices.discovery.k8s.io", "default", "kubernetes"), {
    metadata: { name: "kubernetes", labels: { "kubernetes.io/service-name": "kubernetes" } },
    addressType: isV6 ? "IPv6" : "IPv4",
    endpoints: own.map(({ host }) => ({
      addresses: [host],
      conditions: { ready: true, serving: true, terminating: false },
    })),
    ports: [{ name: "https", port, protocol: "TCP" }],
  });
}

const FIRST_RUN_MS = 5000;

/** Resolves when the controllers have furnished the namespaces: until then a first pod would be refused. */
export async function untilFurnished(deps: RestDeps): Promise<void> {
  const end = deps.clock.monotonicMs() + FIRST_RUN_MS;
  const missing = (): boolean =>
    NAMESPACES.some((name) => deps.store.get("serviceaccounts", `${name}/default`) === undefined);
  while (missing() && deps.clock.monotonicMs() < end) await deps.clock.sleep(2);
}
