/** Pure. OpenAPI v3 per group version: what kubectl needs for validation, explain, diff and server-side dry-run. */
import { createHash } from "node:crypto";
import { isRecord, type JsonMap } from "../object.ts";
import { type ResourceRegistry, schemaName } from "../registry/resource-registry.ts";
import type { Resource } from "../registry/resource.ts";
import { builtinSchema, SCHEMA_PREFIX } from "../schema/schema.ts";

const PATCH_TYPES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/apply-patch+yaml",
];

function pathOf(resource: Resource): string {
  return resource.group === "" ? `api/${resource.version}` : `apis/${resource.group}/${resource.version}`;
}

/** URLs carry a hash of the content: clients cache by it, so it must change with a CRD's schema. */
export function openApiIndex(registry: ResourceRegistry): JsonMap {
  const paths: JsonMap = {};
  for (const [path, members] of Map.groupBy(registry.resources, pathOf)) {
    const content = members.map((resource) => [
      resource.plural,
      resource.subresources,
      resource.custom?.schema,
    ]);
    const hash = createHash("sha256")
      .update(JSON.stringify(content))
      .digest("hex")
      .slice(0, 32)
      .toUpperCase();
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
  }
  return { paths };
}

export function openApiDocument(registry: ResourceRegistry, path: string): JsonMap | undefined {
  const members = registry.resources.filter((resource) => pathOf(resource) === path);
  if (members.length === 0) return undefined;
  const schemas: JsonMap = {};
  const paths: JsonMap = {};
  for (const resource of members) {
    const schema = { ...registry.schema(resource), "x-kubernetes-group-version-kind": [kindOf(resource)] };
    schemas[schemaName(resource)] = publish(schema, schemas);
    Object.assign(paths, operations(resource, path));
  }
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version: "v1.36.0" },
    paths,
    components: { schemas },
  };
}

function kindOf({ group, version, kind }: Resource): JsonMap {
  return { group, version, kind };
}

/** A copy without our own marks; everything it refers to is added to `schemas`. */
function publish(value: unknown, schemas: JsonMap): unknown {
  if (Array.isArray(value)) return value.map((item) => publish(item, schemas));
  if (!isRecord(value)) return value;
  const { $ref, ...beside } = value;
  if ($ref !== undefined && beside["description"] !== undefined)
    return publish({ ...beside, allOf: [{ $ref }] }, schemas); // readers ignore what stands beside a reference
  const out: JsonMap = {};
  for (const [key, child] of Object.entries(value)) {
    if (key.startsWith("x-ambit-")) continue;
    if (key === "$ref" && typeof child === "string") refer(child.slice(SCHEMA_PREFIX.length), schemas);
    out[key] = publish(child, schemas);
  }
  if (out["x-kubernetes-int-or-string"] === true && out["anyOf"] === undefined)
    out["oneOf"] = [{ type: "integer" }, { type: "string" }];
  return out;
}

function refer(name: string, schemas: JsonMap): void {
  if (schemas[name] !== undefined) return;
  schemas[name] = {};
  schemas[name] = publish(builtinSchema(name) ?? {}, schemas);
}

function operations(resource: Resource, path: string): JsonMap {
  const reference = { $ref: SCHEMA_PREFIX + schemaName(resource) };
  const operation = (action: string, types: readonly string[]): JsonMap => ({
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": kindOf(resource),
    parameters: parameters(action),
    ...(types.length === 0
      ? {}
      : { requestBody: { content: Object.fromEntries(types.map((type) => [type, { schema: reference }])) } }),
    responses: { 200: { description: "OK", content: { "application/json": { schema: reference } } } },
  });
  const json = ["application/json"];
  const base = `/${path}/${resource.namespaced ? "namespaces/{namespace}/" : ""}${resource.plural}`;
  if (resource.review) return { [base]: { post: operation("post", json) } };
  const patchTypes =
    resource.custom === undefined ? [...PATCH_TYPES, "application/strategic-merge-patch+json"] : PATCH_TYPES;
  return {
    [base]: {
      get: operation("list", []),
      post: operation("post", json),
      delete: operation("deletecollection", []),
    },
    [`${base}/{name}`]: {
      get: operation("get", []),
      put: operation("put", json),
      patch: operation("patch", patchTypes),
      delete: operation("delete", []),
    },
  };
}

function parameters(action: string): JsonMap[] {
  if (action === "get" || action === "list") return [];
  const names = ["dryRun", "fieldManager", "fieldValidation", ...(action === "patch" ? ["force"] : [])];
  return names.map((name) => ({
    name,
    in: "query",
    schema: { type: name === "force" ? "boolean" : "string", uniqueItems: true },
  }));
}
