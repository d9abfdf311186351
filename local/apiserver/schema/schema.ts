/**
 * Structural schemas (OpenAPI v3 with Kubernetes' extensions): one shape for built-in kinds and for CRDs.
 * References (`$ref`) occur only in built-in schemas; `resolve` follows them.
 */
import { isRecord } from "../object.ts";
import { BUILTIN_SCHEMA_TEXT } from "./builtin-schemas.gen.ts";

export interface CelRule {
  readonly rule: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: string;
  readonly fieldPath?: string;
  readonly optionalOldSelf?: boolean;
}

export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly nullable?: boolean;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly not?: Schema;
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
  readonly "x-kubernetes-embedded-resource"?: boolean;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-list-type"?: string;
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-map-type"?: string;
  readonly "x-kubernetes-patch-merge-key"?: string;
  readonly "x-kubernetes-patch-strategy"?: string;
  readonly "x-kubernetes-validations"?: readonly CelRule[];
  /** Built-in only: a pointer in Go, so that zero values are stored as given instead of being dropped. */
  readonly "x-ambit-pointer"?: boolean;
}

export const SCHEMA_PREFIX = "#/components/schemas/";
export const OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

const parsedBuiltins = new Map<string, Schema>();

/** The schema of a built-in type by its OpenAPI name; parsed on first use, since most are never needed. */
export function builtinSchema(name: string): Schema | undefined {
  const known = parsedBuiltins.get(name);
  if (known !== undefined) return known;
  const text = BUILTIN_SCHEMA_TEXT.get(name);
  if (text === undefined) return undefined;
  const schema = JSON.parse(text) as Schema;
  parsedBuiltins.set(name, schema);
  return schema;
}

/** Follows a reference; what stands beside `$ref` (list keys, descriptions) wins over the target. */
export function resolve(schema: Schema | undefined): Schema | undefined {
  if (schema?.$ref === undefined) return schema;
  const target = builtinSchema(schema.$ref.slice(SCHEMA_PREFIX.length));
  if (Object.keys(schema).length === 1) return target;
  const { $ref: _reference, ...beside } = schema;
  return { ...target, ...beside };
}

/** The schema of one field of an object or map, references followed. */
export function fieldSchema(schema: Schema | undefined, field: string): Schema | undefined {
  const own = resolve(schema);
  if (own === undefined) return undefined;
  if (own.properties !== undefined && Object.hasOwn(own.properties, field))
    return resolve(own.properties[field]);
  return isRecord(own.additionalProperties) ? resolve(own.additionalProperties) : undefined;
}

export function itemSchema(schema: Schema | undefined): Schema | undefined {
  return resolve(resolve(schema)?.items);
}
