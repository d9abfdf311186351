/** Pure. CustomResourceDefinition to served kinds, and what must hold for a definition to be accepted. */
import type { V1CustomResourceDefinition, V1CustomResourceDefinitionVersion } from "@kubernetes/client-node";
import { duplicateValue, type FieldProblem, invalidValue, required } from "../http/status-error.ts";
import { type ApiObject, isRecord } from "../object.ts";
import { compileCel } from "../schema/cel.ts";
import type { Schema } from "../schema/schema.ts";
import { patternOf } from "../schema/validate.ts";
import { ALL_VERBS, type CustomResource, type Resource } from "./resource.ts";

const OPEN: Schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

export function crdResources(object: ApiObject): Resource[] {
  const { spec } = object as unknown as V1CustomResourceDefinition;
  const served = spec.versions
    .filter((version) => version.served)
    .toSorted((a, b) => rank(b.name) - rank(a.name));
  return served.map((version) => ({
    id: object.metadata.name,
    group: spec.group,
    version: version.name,
    kind: spec.names.kind,
    plural: spec.names.plural,
    singular: spec.names.singular ?? spec.names.kind.toLowerCase(),
    listKind: spec.names.listKind ?? `${spec.names.kind}List`,
    shortNames: spec.names.shortNames ?? [],
    categories: spec.names.categories ?? [],
    namespaced: spec.scope === "Namespaced",
    subresources: Object.keys(version.subresources ?? {}),
    verbs: ALL_VERBS,
    review: false,
    hasGeneration: true,
    servedVersions: served.map((other) => other.name),
    custom: customOf(version),
  }));
}

function customOf(version: V1CustomResourceDefinitionVersion): CustomResource {
  const scale = version.subresources?.scale;
  return {
    schema: (version.schema?.openAPIV3Schema as Schema | undefined) ?? OPEN,
    columns: (
      version.additionalPrinterColumns ?? [
        { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
      ]
    ).map((column) => ({
      name: column.name,
      type: column.type,
      jsonPath: column.jsonPath,
      priority: column.priority ?? 0,
      description: column.description ?? "",
      format: column.format ?? "",
    })),
    scale:
      scale === undefined
        ? undefined
        : {
            specReplicasPath: scale.specReplicasPath,
            statusReplicasPath: scale.statusReplicasPath,
            labelSelectorPath: scale.labelSelectorPath,
          },
    selectableFields: (version.selectableFields ?? []).map((field) => field.jsonPath.replace(/^\./, "")),
    deprecationWarning:
      version.deprecated === true
        ? (version.deprecationWarning ?? `${version.name} is deprecated`)
        : undefined,
  };
}

/** Kubernetes' order of versions: v2, v1, v1beta2, v1beta1, v1alpha1. */
function rank(version: string): number {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (match === null) return 0;
  const stage = match[2] === undefined ? 3 : match[2] === "beta" ? 2 : 1;
  return stage * 1e6 + Number(match[1]) * 1e3 + Number(match[3] ?? 0);
}

export function crdProblems(object: ApiObject): FieldProblem[] {
  const { spec } = object as unknown as V1CustomResourceDefinition;
  const problems: FieldProblem[] = [];
  const name = `${spec.names.plural}.${spec.group}`;
  if (object.metadata.name !== name)
    problems.push(
      invalidValue("metadata.name", object.metadata.name, 'must be spec.names.plural+"."+spec.group'),
    );
  if (!/^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(spec.group))
    problems.push(invalidValue("spec.group", spec.group, "should be a domain with at least one dot"));
  if (spec.versions.filter((version) => version.storage).length !== 1) {
    problems.push(
      invalidValue(
        "spec.versions",
        spec.versions.map((version) => version.name),
        "must have exactly one version marked as storage version",
      ),
    );
  }
  const seen = new Set<string>();
  spec.versions.forEach((version, i) => {
    const at = `spec.versions[${i}]`;
    if (seen.has(version.name)) problems.push(duplicateValue(`${at}.name`, version.name));
    seen.add(version.name);
    const schema = version.schema?.openAPIV3Schema as Schema | undefined;
    if (schema === undefined) problems.push(required(`${at}.schema.openAPIV3Schema`, "schemas are required"));
    else checkSchema(schema, `${at}.schema.openAPIV3Schema`, problems, 0);
  });
  return problems;
}

const MAX_DEPTH = 200;

/** A definition that could not be enforced later (an unreadable pattern or rule) is refused now. */
function checkSchema(schema: Schema, path: string, out: FieldProblem[], depth: number): void {
  if (depth > MAX_DEPTH) {
    out.push(invalidValue(path, "...", "nested too deeply"));
    return;
  }
  const { pattern } = schema;
  if (pattern !== undefined && !isReadable(() => patternOf(pattern))) {
    out.push(invalidValue(`${path}.pattern`, pattern, "must be a valid regular expression"));
  }
  (schema["x-kubernetes-validations"] ?? []).forEach(({ rule }, i) => {
    const why = compileProblem(rule);
    if (why !== undefined)
      out.push(
        invalidValue(`${path}.x-kubernetes-validations[${i}].rule`, rule, `compilation failed: ${why}`),
      );
  });
  for (const [at, child] of childSchemas(schema)) checkSchema(child, `${path}${at}`, out, depth + 1);
}

function* childSchemas(schema: Schema): Iterable<readonly [string, Schema]> {
  for (const [field, child] of Object.entries(schema.properties ?? {}))
    yield [`.properties[${field}]`, child];
  if (schema.items !== undefined) yield [".items", schema.items];
  if (isRecord(schema.additionalProperties)) yield [".additionalProperties", schema.additionalProperties];
  for (const list of [schema.allOf, schema.anyOf, schema.oneOf])
    for (const part of list ?? []) yield ["", part];
}

function isReadable(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch {
    return false;
  }
}

/** Why an expression does not compile; undefined when it does. */
export function compileProblem(expression: string): string | undefined {
  try {
    compileCel(expression);
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
  }
}
