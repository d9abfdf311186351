/**
 * Pure. Built-in kinds as Go would store them: empty lists and maps and zero scalars marked `omitempty` vanish, quantities are
 * canonical. Works on the caller's own, already type-checked copy.
 */
import { isRecord, type JsonMap } from "../object.ts";
import { canonicalQuantity } from "./quantity.ts";
import { resolve, type Schema } from "./schema.ts";

export function normalize(value: unknown, schema: Schema | undefined): void {
  const own = resolve(schema);
  if (own === undefined) return;
  if (Array.isArray(value)) for (const item of value) normalize(item, own.items);
  else if (isRecord(value)) normalizeFields(value, own);
}

function normalizeFields(value: JsonMap, schema: Schema): void {
  const required = new Set(schema.required);
  const declared = schema.properties ?? {};
  const others = isRecord(schema.additionalProperties) ? schema.additionalProperties : undefined;
  for (const [field, child] of Object.entries(value)) {
    const isDeclared = Object.hasOwn(declared, field);
    const target = resolve(isDeclared ? declared[field] : others);
    if (target === undefined) continue;
    normalizeField(value, field, child, target);
    if (isDeclared && !required.has(field) && isOmitted(value[field], target)) delete value[field];
  }
}

function normalizeField(owner: JsonMap, field: string, value: unknown, schema: Schema): void {
  if (schema.format === "quantity" && (typeof value === "string" || typeof value === "number")) {
    owner[field] = canonicalQuantity(String(value)) ?? value;
  } else {
    normalize(value, schema);
  }
}

function isOmitted(value: unknown, schema: Schema): boolean {
  if (value === undefined) return true;
  if (schema["x-ambit-pointer"] === true) return false;
  if (value === "" || value === 0 || value === false) return schema["x-kubernetes-int-or-string"] !== true;
  if (Array.isArray(value)) return value.length === 0;
  return isRecord(value) && schema.additionalProperties !== undefined && Object.keys(value).length === 0;
}
