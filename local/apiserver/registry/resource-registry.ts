/** Every kind that is served now: the built-in table and what the CustomResourceDefinitions add. */
import { builtinSchema, OBJECT_META, type Schema, SCHEMA_PREFIX } from "../schema/schema.ts";
import { BUILTIN_KIND_SCHEMAS } from "../schema/builtin-schemas.gen.ts";
import { apiVersionOf, type Resource } from "./resource.ts";
import { BUILTIN_RESOURCES } from "./resource-table.ts";

export class ResourceRegistry {
  readonly #custom = new Map<string, readonly Resource[]>();
  readonly #schemas = new Map<string, Schema>();
  #all: readonly Resource[] = BUILTIN_RESOURCES;
  #generation = 0;

  /** Rises whenever the set of kinds or a schema changes: discovery documents are cached by it. */
  get generation(): number {
    return this.#generation;
  }

  /** Preferred version of each kind first. */
  get resources(): readonly Resource[] {
    return this.#all;
  }

  find(group: string, version: string, plural: string): Resource | undefined {
    return this.#all.find((r) => r.plural === plural && r.group === group && r.version === version);
  }

  byId(id: string): Resource | undefined {
    return this.#all.find((r) => r.id === id);
  }

  byKind(apiVersion: string, kind: string): Resource | undefined {
    return this.#all.find((r) => r.kind === kind && apiVersionOf(r) === apiVersion);
  }

  /** Stored kinds, each once (in its preferred version). */
  stored(): readonly Resource[] {
    return [
      ...new Map(
        this.#all
          .filter((r) => !r.review)
          .toReversed()
          .map((r) => [r.id, r]),
      ).values(),
    ];
  }

  /** The served versions of one CRD, preferred first; an empty list removes it. */
  setCustom(crdName: string, resources: readonly Resource[]): void {
    if (resources.length === 0) this.#custom.delete(crdName);
    else this.#custom.set(crdName, resources);
    this.#all = [...BUILTIN_RESOURCES, ...[...this.#custom.values()].flat()];
    this.#schemas.clear();
    this.#generation += 1;
  }

  /** The whole object's schema: apiVersion, kind and metadata are always there. */
  schema(resource: Resource): Schema {
    const id = `${resource.id}/${resource.version}`;
    const known = this.#schemas.get(id);
    if (known !== undefined) return known;
    const own = resource.custom?.schema ?? builtinKindSchema(resource);
    const schema: Schema = {
      ...own,
      properties: {
        ...own.properties,
        apiVersion: { type: "string" },
        kind: { type: "string" },
        metadata: { $ref: SCHEMA_PREFIX + OBJECT_META },
      },
    };
    this.#schemas.set(id, schema);
    return schema;
  }
}

/** OpenAPI name of a kind's schema: `io.k8s.api.core.v1.Pod`, `dev.ambit.mesh.v1.Route`. */
export function schemaName(resource: Resource): string {
  const builtin = BUILTIN_KIND_SCHEMAS[`${apiVersionKey(resource)}/${resource.kind}`];
  if (resource.custom === undefined && builtin !== undefined) return builtin;
  return `${resource.group.split(".").toReversed().join(".")}.${resource.version}.${resource.kind}`;
}

function apiVersionKey(resource: Resource): string {
  return `${resource.group}/${resource.version}`;
}

function builtinKindSchema(resource: Resource): Schema {
  return (
    builtinSchema(schemaName(resource)) ?? { type: "object", "x-kubernetes-preserve-unknown-fields": true }
  );
}
