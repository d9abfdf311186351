/** Pure. Drops fields that the schema does not know and says which. */
import { isRecord, type JsonMap } from "../object.ts";
import { resolve, type Schema } from "./schema.ts";

const EMBEDDED = new Set(["apiVersion", "kind", "metadata"]);

export interface PruneReport {
  /** Paths of dropped fields: `spec.x`, `spec.rules[1].y`. */
  readonly unknown: string[];
  /** Built-in kinds know no null: such fields count as absent. CRDs decide by `nullable` while defaulting. */
  readonly dropNulls: boolean;
}

export function prune(value: unknown, schema: Schema | undefined, report: PruneReport, path = ""): unknown {
  const own = resolve(schema);
  if (own === undefined) return value;
  if (Array.isArray(value)) {
    const { items } = own;
    return items === undefined ? value : value.map((item, i) => prune(item, items, report, `${path}[${i}]`));
  }
  return isRecord(value) ? pruneObject(value, own, report, path) : value;
}

function pruneObject(value: JsonMap, schema: Schema, report: PruneReport, path: string): JsonMap {
  const out: JsonMap = {};
  for (const [field, child] of Object.entries(value)) {
    if (child === null && report.dropNulls) continue;
    const at = path === "" ? field : `${path}.${field}`;
    const known = childSchema(schema, field);
    if (known !== undefined) setOwn(out, field, prune(child, known, report, at));
    else if (keepsUnknown(schema, field)) setOwn(out, field, child);
    else report.unknown.push(at);
  }
  return out;
}

function keepsUnknown(schema: Schema, field: string): boolean {
  return isOpen(schema) || (schema["x-kubernetes-embedded-resource"] === true && EMBEDDED.has(field));
}

/** Assigns an own property whatever its name (`__proto__` included). */
export function setOwn(target: JsonMap, field: string, value: unknown): void {
  if (field === "__proto__") {
    Object.defineProperty(target, field, { value, enumerable: true, configurable: true, writable: true });
  } else {
    target[field] = value;
  }
}

function childSchema(schema: Schema, field: string): Schema | undefined {
  if (schema.properties !== undefined && Object.hasOwn(schema.properties, field))
    return schema.properties[field];
  return isRecord(schema.additionalProperties) ? schema.additionalProperties : undefined;
}

function isOpen(schema: Schema): boolean {
  if (schema["x-kubernetes-preserve-unknown-fields"] === true || schema.additionalProperties === true)
    return true;
  return Object.keys(schema).length === 0; // `{}` says nothing about its value
}
