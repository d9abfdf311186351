/** Pure. `default` of CRD schemas, applied to the caller's own copy; nulls of fields that may not be null count as absent. */
import { clone, isRecord } from "../object.ts";
import { resolve, type Schema } from "./schema.ts";

export function applyDefaults(value: unknown, schema: Schema | undefined): void {
  const own = resolve(schema);
  if (own === undefined) return;
  if (Array.isArray(value)) {
    for (const item of value) applyDefaults(item, own.items);
    return;
  }
  if (!isRecord(value)) return;
  for (const [field, fieldSchema] of Object.entries(own.properties ?? {})) {
    const absent = !Object.hasOwn(value, field) || (value[field] === null && fieldSchema.nullable !== true);
    if (absent && fieldSchema.default !== undefined) value[field] = clone(fieldSchema.default);
    else if (absent) delete value[field];
    if (value[field] !== undefined) applyDefaults(value[field], fieldSchema);
  }
  if (!isRecord(own.additionalProperties)) return;
  for (const [field, child] of Object.entries(value)) {
    if (own.properties === undefined || !Object.hasOwn(own.properties, field))
      applyDefaults(child, own.additionalProperties);
  }
}
