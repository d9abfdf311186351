/** Pure. `default` of CRD schemas, applied to the caller's own copy; nulls of fields that may not be null count as absent. */
import { clone, isRecord, type JsonMap } from "../object.ts";
import { resolve, type Schema } from "./schema.ts";

export function applyDefaults(value: unknown, schema: Schema | undefined): void {
  const own = resolve(schema);
  if (own === undefined) return;
  if (Array.isArray(value)) {
    for (const item of value) applyDefaults(item, own.items);
    return;
  }
  if (!isRecord(value)) return;
  const declared = own.properties ?? {};
  for (const [field, fieldSchema] of Object.entries(declared)) defaultField(value, field, fieldSchema);
  if (!isRecord(own.additionalProperties)) return;
  for (const [field, child] of Object.entries(value)) {
    if (!Object.hasOwn(declared, field)) applyDefaults(child, own.additionalProperties);
  }
}

function defaultField(owner: JsonMap, field: string, schema: Schema): void {
  const absent = !Object.hasOwn(owner, field) || (owner[field] === null && schema.nullable !== true);
  if (absent && schema.default !== undefined) owner[field] = clone(schema.default);
  else if (absent) delete owner[field];
  if (owner[field] !== undefined) applyDefaults(owner[field], schema);
}
