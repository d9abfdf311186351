/** Kubernetes objects as commands read and write them: plain JSON of the API. Implemented by `kube-objects.ts`, and by fakes in tests. */
import type { JsonObject } from "#core/k8s/json-read.ts";
import type { Kind } from "#core/k8s/kinds.ts";

export interface ObjectName {
  /** Empty for kinds without namespaces. */
  readonly namespace: string;
  readonly name: string;
}

export interface ObjectAccess {
  /** Of one namespace, or of all of them. Throws `CLI_NO_KIND` when the cluster does not have the kind. */
  list(kind: Kind, namespace: string | undefined): Promise<readonly JsonObject[]>;
  get(kind: Kind, name: ObjectName): Promise<JsonObject | undefined>;
  /** Server-side apply; fields that somebody else set are taken over. */
  apply(kind: Kind, manifest: JsonObject): Promise<JsonObject>;
  /** Merge patch. */
  patch(kind: Kind, name: ObjectName, change: JsonObject): Promise<void>;
  /** False when there was none. */
  delete(kind: Kind, name: ObjectName): Promise<boolean>;
}
