/** What admission reads besides the request itself. */
import type { Rbac } from "../auth/rbac.ts";
import type { ApiObject } from "../object.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";
import type { AdmissionRequest } from "../rest/context.ts";
import type { ObjectStore } from "../store/object-store.ts";

export interface AdmissionDeps {
  readonly store: ObjectStore;
  readonly registry: ResourceRegistry;
  readonly rbac: Rbac;
}

/** Labels of the namespace an object is in; of the namespace itself when it is one. Undefined for cluster-wide kinds. */
export function namespaceLabels(
  store: ObjectStore,
  request: AdmissionRequest,
): Record<string, string> | undefined {
  const { resource, namespace } = request.target;
  if (resource.id === "namespaces") return (request.object ?? request.old)?.metadata.labels ?? {};
  return resource.namespaced ? (namespaceOf(store, namespace)?.metadata.labels ?? {}) : undefined;
}

export function namespaceOf(store: ObjectStore, namespace: string): ApiObject | undefined {
  return namespace === "" ? undefined : store.get("namespaces", namespace);
}
