/** Pure. What only holds between fields: keys of map lists are unique, and `x-kubernetes-validations` (CEL) say true. */
import { duplicateValue, type FieldProblem, quote } from "../http/status-error.ts";
import { isRecord, type JsonMap } from "../object.ts";
import { compileCel, toCel } from "./cel.ts";
import { type CelRule, fieldSchema, resolve, type Schema } from "./schema.ts";

/** `old` is the stored value on updates: rules over `oldSelf` run only where it exists. */
export function checkRules(
  value: unknown,
  old: unknown,
  schema: Schema | undefined,
  path = "",
): FieldProblem[] {
  const out: FieldProblem[] = [];
  walk({ value, old, schema: resolve(schema), path }, out);
  return out;
}

/** Whether anything in the schema is a CEL rule. */
export function hasRules(schema: Schema): boolean {
  if (schema["x-kubernetes-validations"] !== undefined) return true;
  const children = [
    ...Object.values(schema.properties ?? {}),
    ...(schema.items === undefined ? [] : [schema.items]),
  ];
  return children.some(hasRules);
}

/** The extra cause when rules were skipped because the object does not even fit its schema. */
export function rulesNotChecked(): FieldProblem {
  const why =
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
  return { field: "<nil>", message: `Invalid value: null: ${why}`, reason: "FieldValueInvalid" };
}

interface Place {
  readonly value: unknown;
  readonly old: unknown;
  readonly schema: Schema | undefined;
  readonly path: string;
}

function walk(place: Place, out: FieldProblem[]): void {
  const { value, old } = place;
  const schema = resolve(place.schema);
  if (schema === undefined || value === undefined || value === null) return;
  for (const rule of schema["x-kubernetes-validations"] ?? []) {
    const problem = checkRule(rule, { ...place, schema });
    if (problem !== undefined) out.push(problem);
  }
  if (Array.isArray(value)) walkList(value, Array.isArray(old) ? old : undefined, { ...place, schema }, out);
  else if (isRecord(value)) walkFields(value, isRecord(old) ? old : {}, { ...place, schema }, out);
}

function walkFields(value: JsonMap, old: JsonMap, { schema, path }: Place, out: FieldProblem[]): void {
  for (const [field, child] of Object.entries(value)) {
    const before = Object.hasOwn(old, field) ? old[field] : undefined;
    const at = path === "" ? field : `${path}.${field}`;
    walk({ value: child, old: before, schema: fieldSchema(schema, field), path: at }, out);
  }
}

/** Items of map lists pair with their old selves by key; items of other lists have none. */
function walkList(
  list: readonly unknown[],
  old: readonly unknown[] | undefined,
  place: Place,
  out: FieldProblem[],
): void {
  const schema = place.schema;
  const type = schema?.["x-kubernetes-list-type"];
  const keys = schema?.["x-kubernetes-list-map-keys"] ?? [];
  const identity = (item: unknown): string =>
    JSON.stringify(type === "map" ? keys.map((key) => (isRecord(item) ? item[key] : undefined)) : item);
  const seen = new Set<string>();
  list.forEach((item, i) => {
    const at = `${place.path}[${i}]`;
    const id = type === "map" || type === "set" ? identity(item) : undefined;
    if (id !== undefined && seen.has(id)) out.push(duplicateValue(at, keyPart(item, keys)));
    if (id !== undefined) seen.add(id);
    const before = type === "map" ? old?.find((candidate) => identity(candidate) === id) : undefined;
    walk({ value: item, old: before, schema: schema?.items, path: at }, out);
  });
}

function keyPart(item: unknown, keys: readonly string[]): unknown {
  return isRecord(item) && keys.length > 0 ? Object.fromEntries(keys.map((key) => [key, item[key]])) : item;
}

function checkRule(rule: CelRule, place: Place): FieldProblem | undefined {
  const { value, old, schema, path } = place;
  const usesOld = /\boldSelf\b/.test(rule.rule);
  if (usesOld && old === undefined && rule.optionalOldSelf !== true) return undefined;
  const variables = { self: toCel(value, schema), oldSelf: toCel(old, schema) };
  const outcome = compileCel(rule.rule).run(variables);
  if (outcome.kind === "value" && outcome.value === true) return undefined;
  const failed =
    outcome.kind === "error" ? `rule evaluation error: ${outcome.message}: ${rule.rule}` : undefined;
  const said = failed ?? messageOf(rule, variables);
  const { reason = "FieldValueInvalid", fieldPath = "" } = rule;
  const message =
    reason === "FieldValueForbidden"
      ? `Forbidden: ${said}`
      : `Invalid value: ${quote(shown(value))}: ${said}`;
  return { field: `${path}${fieldPath}` || "<nil>", message, reason };
}

function shown(value: unknown): unknown {
  if (Array.isArray(value)) return "array";
  return isRecord(value) ? "object" : value;
}

function messageOf(rule: CelRule, variables: Parameters<ReturnType<typeof compileCel>["run"]>[0]): string {
  if (rule.messageExpression !== undefined) {
    try {
      const outcome = compileCel(rule.messageExpression).run(variables);
      if (outcome.kind === "value" && typeof outcome.value === "string") return outcome.value;
    } catch {
      // an expression that does not compile falls back to the fixed message, as the real server does
    }
  }
  return rule.message ?? `failed rule: ${rule.rule}`;
}
