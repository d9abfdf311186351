/** One served kind in one version, built-in or from a CustomResourceDefinition. */
import type { Schema } from "../schema/schema.ts";

export const ALL_VERBS: readonly string[] = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly jsonPath: string;
  readonly priority: number;
  readonly description: string;
  readonly format: string;
}

/** What only kinds from a CustomResourceDefinition have. */
export interface CustomResource {
  readonly schema: Schema;
  readonly columns: readonly PrinterColumn[];
  readonly scale: ScalePaths | undefined;
  /** `spec.x` paths usable in field selectors. */
  readonly selectableFields: readonly string[];
  readonly deprecationWarning: string | undefined;
}

export interface ScalePaths {
  readonly specReplicasPath: string;
  readonly statusReplicasPath: string;
  readonly labelSelectorPath: string | undefined;
}

export interface Resource {
  /** `plural` or `plural.group`: the table in the store, shared by all versions. */
  readonly id: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly subresources: readonly string[];
  readonly verbs: readonly string[];
  /** Create-only and never stored (TokenReview and its like). */
  readonly review: boolean;
  readonly hasGeneration: boolean;
  /** Every served version of the kind. */
  readonly servedVersions: readonly string[];
  readonly custom: CustomResource | undefined;
}

/** `v1` or `group/v1`. */
export function apiVersionOf(resource: { readonly group: string; readonly version: string }): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

/** The store's key of an object: `namespace/name`, or the name of a cluster-wide one. */
export function keyOf(resource: Resource, namespace: string, name: string): string {
  return resource.namespaced ? `${namespace}/${name}` : name;
}
