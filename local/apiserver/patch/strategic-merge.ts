/**
 * Pure. Strategic merge patch: lists of built-in kinds merge by key. Directives: `$patch: delete|replace`, `$retainKeys`,
 * `$setElementOrder/f`, `$deleteFromPrimitiveList/f`.
 */
import { deepEqual, isRecord, type JsonMap } from "../object.ts";
import { setOwn } from "../schema/prune.ts";
import { fieldSchema, itemSchema, type Schema } from "../schema/schema.ts";

const ORDER = "$setElementOrder/";
const DELETE_ITEMS = "$deleteFromPrimitiveList/";

export function strategicMerge(document: unknown, patch: unknown, schema: Schema | undefined): unknown {
  if (!isRecord(patch)) return patch;
  if (patch["$patch"] === "delete") return {};
  if (patch["$patch"] === "replace") return without(patch, "$patch");
  const out: JsonMap = isRecord(document) ? { ...document } : {};
  const retain = patch["$retainKeys"];
  if (Array.isArray(retain)) {
    for (const field of Object.keys(out)) if (!retain.includes(field)) delete out[field];
  }
  for (const [field, value] of Object.entries(patch)) mergeField(out, { field, value, patch, schema });
  for (const [field, order] of Object.entries(patch)) {
    if (field.startsWith(ORDER) && Array.isArray(order))
      reorder(out, field.slice(ORDER.length), order, schema);
  }
  return out;
}

interface FieldPatch {
  readonly field: string;
  readonly value: unknown;
  readonly patch: JsonMap;
  readonly schema: Schema | undefined;
}

function mergeField(out: JsonMap, { field, value, patch, schema }: FieldPatch): void {
  if (field === "$retainKeys" || field === "$patch" || field.startsWith(ORDER)) return;
  if (field.startsWith(DELETE_ITEMS)) {
    const list = out[field.slice(DELETE_ITEMS.length)];
    if (Array.isArray(list) && Array.isArray(value)) {
      out[field.slice(DELETE_ITEMS.length)] = list.filter((item) => !value.includes(item));
    }
    return;
  }
  if (value === null) {
    delete out[field];
    return;
  }
  const own = fieldSchema(schema, field);
  const before = Object.hasOwn(out, field) ? out[field] : undefined;
  const merged = Array.isArray(value)
    ? mergeList(Array.isArray(before) ? before : [], value, own, patch[`${ORDER}${field}`])
    : strategicMerge(before, value, own);
  setOwn(out, field, merged);
}

function mergeList(
  live: readonly unknown[],
  patch: readonly unknown[],
  schema: Schema | undefined,
  order: unknown,
): unknown[] {
  if (schema?.["x-kubernetes-patch-strategy"]?.includes("merge") !== true) return [...patch];
  const key = schema["x-kubernetes-patch-merge-key"];
  if (key === undefined)
    return [...live, ...patch.filter((item) => !live.some((other) => deepEqual(other, item)))];
  if (patch.some((item) => directive(item) === "replace"))
    return patch.filter((item) => directive(item) !== "replace");
  const out = [...live];
  for (const item of patch) {
    const at = out.findIndex((other) => keyOf(other, key) === keyOf(item, key));
    if (directive(item) === "delete") {
      if (at >= 0) out.splice(at, 1);
    } else if (at >= 0) out[at] = strategicMerge(out[at], item, itemSchema(schema));
    else out.push(strategicMerge({}, item, itemSchema(schema)));
  }
  return inOrder(out, Array.isArray(order) ? order : patch, key);
}

/** An order may be given for a list none of whose items changed. */
function reorder(out: JsonMap, field: string, order: readonly unknown[], schema: Schema | undefined): void {
  const key = fieldSchema(schema, field)?.["x-kubernetes-patch-merge-key"];
  const list = out[field];
  if (Array.isArray(list) && key !== undefined) out[field] = inOrder(list, order, key);
}

function inOrder(list: readonly unknown[], order: readonly unknown[], key: string): unknown[] {
  const rank = (item: unknown): number => {
    const at = order.findIndex((other) => keyOf(other, key) === keyOf(item, key));
    return at < 0 ? order.length : at;
  };
  return list.toSorted((a, b) => rank(a) - rank(b));
}

function directive(item: unknown): unknown {
  return isRecord(item) ? item["$patch"] : undefined;
}

function keyOf(item: unknown, key: string): unknown {
  return isRecord(item) ? item[key] : undefined;
}

function without(value: JsonMap, field: string): JsonMap {
  const { [field]: _gone, ...rest } = value;
  return rest;
}
