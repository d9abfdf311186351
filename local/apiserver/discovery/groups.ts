/** Pure. `/api` and `/apis` in both forms: one legacy document per path, and the aggregated list (apidiscovery.k8s.io/v2). */
import type { JsonMap } from "../object.ts";
import { apiVersionOf, type Resource } from "../registry/resource.ts";

const SUBRESOURCE_VERBS: Readonly<Record<string, readonly string[]>> = {
  token: ["create"],
  eviction: ["create"],
  binding: ["create"],
  finalize: ["update"],
  log: ["get"],
  exec: ["create", "get"],
  portforward: ["create", "get"],
};
const SUBRESOURCE_KINDS: Readonly<
  Record<string, { readonly group: string; readonly version: string; readonly kind: string }>
> = {
  scale: { group: "autoscaling", version: "v1", kind: "Scale" },
  token: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" },
  eviction: { group: "policy", version: "v1", kind: "Eviction" },
  binding: { group: "", version: "v1", kind: "Binding" },
  exec: { group: "", version: "v1", kind: "PodExecOptions" },
  portforward: { group: "", version: "v1", kind: "PodPortForwardOptions" },
};

export const AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

export function subresourceVerbs(subresource: string): readonly string[] {
  return SUBRESOURCE_VERBS[subresource] ?? ["get", "patch", "update"];
}

function subresourceKind(
  resource: Resource,
  subresource: string,
): { group: string; version: string; kind: string } {
  return (
    SUBRESOURCE_KINDS[subresource] ?? {
      group: resource.group,
      version: resource.version,
      kind: resource.kind,
    }
  );
}

/** All groups (`core` false) or the core group, with every resource. */
export function aggregatedDiscovery(resources: readonly Resource[], core: boolean): JsonMap {
  const groups = Map.groupBy(
    resources.filter((resource) => (resource.group === "") === core),
    (resource) => resource.group,
  );
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: "apidiscovery.k8s.io/v2",
    metadata: {},
    items: [...groups].map(([group, members]) => ({
      metadata: group === "" ? { creationTimestamp: null } : { name: group, creationTimestamp: null },
      versions: [...Map.groupBy(members, (resource) => resource.version)].map(([version, list]) => ({
        version,
        freshness: "Current",
        resources: list.map(aggregatedResource),
      })),
    })),
  };
}

function aggregatedResource(resource: Resource): JsonMap {
  return {
    resource: resource.plural,
    responseKind: { group: resource.group, version: resource.version, kind: resource.kind },
    scope: resource.namespaced ? "Namespaced" : "Cluster",
    singularResource: resource.singular,
    verbs: resource.verbs,
    ...(resource.shortNames.length === 0 ? {} : { shortNames: resource.shortNames }),
    ...(resource.categories.length === 0 ? {} : { categories: resource.categories }),
    subresources: resource.subresources.map((name) => ({
      subresource: name,
      responseKind: subresourceKind(resource, name),
      verbs: subresourceVerbs(name),
    })),
  };
}

/** The document of `/api`, `/api/v1`, `/apis`, `/apis/<group>` or `/apis/<group>/<version>`; undefined for another path. */
export function legacyDiscovery(
  resources: readonly Resource[],
  path: string,
  address: string,
): JsonMap | undefined {
  if (path === "/api") {
    return {
      kind: "APIVersions",
      versions: ["v1"],
      serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: address }],
    };
  }
  const groups = Map.groupBy(
    resources.filter((resource) => resource.group !== ""),
    (resource) => resource.group,
  );
  if (path === "/apis") {
    return {
      kind: "APIGroupList",
      apiVersion: "v1",
      groups: [...groups].map(([name, list]) => groupDocument(name, list)),
    };
  }
  if (path === "/api/v1")
    return resourceList(
      "v1",
      resources.filter((resource) => resource.group === ""),
    );
  const [, group = "", version] = /^\/apis\/([^/]+)(?:\/([^/]+))?$/.exec(path) ?? [];
  const members = groups.get(group);
  if (members === undefined) return undefined;
  if (version === undefined) return { kind: "APIGroup", apiVersion: "v1", ...groupDocument(group, members) };
  const list = members.filter((resource) => resource.version === version);
  return list.length === 0 ? undefined : resourceList(`${group}/${version}`, list);
}

function groupDocument(name: string, members: readonly Resource[]): JsonMap {
  const versions = [...new Set(members.map((resource) => resource.version))].map((version) => ({
    groupVersion: `${name}/${version}`,
    version,
  }));
  return { name, versions, preferredVersion: versions[0] };
}

function resourceList(groupVersion: string, list: readonly Resource[]): JsonMap {
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion,
    resources: list.flatMap((resource) => [
      {
        name: resource.plural,
        singularName: resource.singular,
        namespaced: resource.namespaced,
        kind: resource.kind,
        verbs: resource.verbs,
        ...(resource.shortNames.length === 0 ? {} : { shortNames: resource.shortNames }),
        ...(resource.categories.length === 0 ? {} : { categories: resource.categories }),
      },
      ...resource.subresources.map((name) => {
        const { group, version, kind } = subresourceKind(resource, name);
        const foreign = apiVersionOf({ group, version }) === groupVersion ? {} : { group, version };
        return {
          name: `${resource.plural}/${name}`,
          singularName: "",
          namespaced: resource.namespaced,
          kind,
          ...foreign,
          verbs: subresourceVerbs(name),
        };
      }),
    ]),
  };
}
