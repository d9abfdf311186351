/**
 * Pure. Checks a value against a structural schema and words every problem as the real server does. An interpreter instead of
 * compiled code: nothing to compile at the first write of a kind, and the messages need no translation.
 */
import { type FieldProblem, invalidValue, quote, required, unsupportedValue } from "../http/status-error.ts";
import { deepEqual, isRecord } from "../object.ts";
import { hasFormat } from "./formats.ts";
import { resolve, type Schema } from "./schema.ts";

export const TYPE_PROBLEM = "FieldValueTypeInvalid";
const MAX_PROBLEMS = 100;

/** Every problem of `value`, at most 100. The order is the order of the value's own fields. */
export function validate(value: unknown, schema: Schema | undefined, path = ""): FieldProblem[] {
  const problems: FieldProblem[] = [];
  check(value, schema, path, problems);
  return problems.slice(0, MAX_PROBLEMS);
}

function check(value: unknown, schema: Schema | undefined, path: string, out: FieldProblem[]): void {
  const own = resolve(schema);
  if (own === undefined || value === undefined || out.length > MAX_PROBLEMS) return;
  if (value === null && (own.nullable === true || own.type === undefined)) return;
  const wrong = value === null ? own.type : wrongType(value, own);
  if (wrong !== undefined) {
    out.push(typeProblem(path, wrong, value === null ? "null" : typeName(value)));
    return;
  }
  if (own.enum !== undefined && !own.enum.some((allowed) => deepEqual(allowed, value))) {
    out.push(unsupportedValue(path, value, own.enum));
  }
  checkByType(value, own, path, out);
  checkCombinations(value, own, path, out);
}

function checkByType(value: unknown, schema: Schema, path: string, out: FieldProblem[]): void {
  if (typeof value === "string") checkString(value, schema, path, out);
  else if (typeof value === "number") checkNumber(value, schema, path, out);
  else if (Array.isArray(value)) checkArray(value, schema, path, out);
  else if (isRecord(value)) checkObject(value, schema, path, out);
}

function typeProblem(path: string, expected: string, actual: string): FieldProblem {
  const message = `Invalid value: "${actual}": ${path} in body must be of type ${expected}: "${actual}"`;
  return { field: path, message, reason: TYPE_PROBLEM };
}

function typeName(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

/** The type that was expected, if the value has another one. */
function wrongType(value: unknown, schema: Schema): string | undefined {
  if (schema["x-kubernetes-int-or-string"] === true) {
    return typeof value === "string" || Number.isInteger(value) ? undefined : "integer,string";
  }
  if (schema.type === undefined) return undefined;
  if (schema.format === "quantity" && typeof value === "number") return undefined;
  const actual = typeName(value);
  if (actual === schema.type || (schema.type === "number" && actual === "integer")) return undefined;
  return schema.type;
}

function checkString(value: string, schema: Schema, path: string, out: FieldProblem[]): void {
  const length =
    schema.minLength === undefined && schema.maxLength === undefined ? 0 : Array.from(value).length;
  if (schema.minLength !== undefined && length < schema.minLength) {
    out.push(invalidValue(path, value, `${path} in body should be at least ${schema.minLength} chars long`));
  }
  if (schema.maxLength !== undefined && length > schema.maxLength) {
    const message = `Too long: may not be more than ${schema.maxLength} bytes`;
    out.push({ field: path, message, reason: "FieldValueTooLong" });
  }
  if (schema.pattern !== undefined && !patternOf(schema.pattern).test(value)) {
    out.push(invalidValue(path, value, `${path} in body should match '${schema.pattern}'`));
  }
  if (schema.format !== undefined && !hasFormat(value, schema.format)) {
    out.push(invalidValue(path, value, `${path} in body must be of type ${schema.format}: ${quote(value)}`));
  }
}

function checkNumber(value: number, schema: Schema, path: string, out: FieldProblem[]): void {
  const { minimum, maximum, multipleOf } = schema;
  const low = schema.exclusiveMinimum === true;
  const high = schema.exclusiveMaximum === true;
  if (minimum !== undefined && (low ? value <= minimum : value < minimum)) {
    out.push(
      invalidValue(
        path,
        value,
        `${path} in body should be greater than ${low ? "" : "or equal to "}${minimum}`,
      ),
    );
  }
  if (maximum !== undefined && (high ? value >= maximum : value > maximum)) {
    out.push(
      invalidValue(
        path,
        value,
        `${path} in body should be less than ${high ? "" : "or equal to "}${maximum}`,
      ),
    );
  }
  if (multipleOf !== undefined && value % multipleOf !== 0) {
    out.push(invalidValue(path, value, `${path} in body should be a multiple of ${multipleOf}`));
  }
}

function checkArray(value: readonly unknown[], schema: Schema, path: string, out: FieldProblem[]): void {
  checkCount(value.length, { min: schema.minItems, max: schema.maxItems, what: "items" }, path, out);
  if (
    schema.uniqueItems === true &&
    value.some((item, i) => value.slice(0, i).some((other) => deepEqual(other, item)))
  ) {
    out.push(invalidValue(path, value, `${path} in body shouldn't contain duplicates`));
  }
  value.forEach((item, i) => check(item, schema.items, `${path}[${i}]`, out));
}

interface Bounds {
  readonly min: number | undefined;
  readonly max: number | undefined;
  readonly what: string;
}

function checkCount(count: number, bounds: Bounds, path: string, out: FieldProblem[]): void {
  if (bounds.min !== undefined && count < bounds.min) {
    out.push(invalidValue(path, count, `${path} in body should have at least ${bounds.min} ${bounds.what}`));
  }
  if (bounds.max === undefined || count <= bounds.max) return;
  const message = `Too many: ${count}: must have at most ${bounds.max} ${bounds.max === 1 ? "item" : "items"}`;
  out.push({ field: path, message, reason: "FieldValueTooMany" });
}

function checkObject(
  value: Record<string, unknown>,
  schema: Schema,
  path: string,
  out: FieldProblem[],
): void {
  const { minProperties: min, maxProperties: max } = schema;
  checkCount(Object.keys(value).length, { min, max, what: "properties" }, path, out);
  const at = (field: string): string => (path === "" ? field : `${path}.${field}`);
  for (const field of schema.required ?? []) {
    if (!Object.hasOwn(value, field) || value[field] === undefined) out.push(required(at(field)));
  }
  const others = isRecord(schema.additionalProperties) ? schema.additionalProperties : undefined;
  for (const [field, child] of Object.entries(value)) {
    const known = schema.properties !== undefined && Object.hasOwn(schema.properties, field);
    check(child, known ? schema.properties?.[field] : others, at(field), out);
  }
}

function checkCombinations(value: unknown, schema: Schema, path: string, out: FieldProblem[]): void {
  if (schema["x-kubernetes-int-or-string"] === true && schema.allOf === undefined) return; // its anyOf says only "int or string"
  const fits = (part: Schema): boolean => validate(value, part, path).length === 0;
  const fail = (why: string): void => void out.push(invalidValue(path, value, `${path} in body ${why}`));
  for (const part of schema.allOf ?? []) check(value, part, path, out);
  if (schema.anyOf !== undefined && !schema.anyOf.some(fits))
    fail("must validate at least one schema (anyOf)");
  if (schema.oneOf !== undefined && schema.oneOf.filter(fits).length !== 1)
    fail("must validate one and only one schema (oneOf)");
  if (schema.not !== undefined && fits(schema.not)) fail("must not validate the schema (not)");
}

const patterns = new Map<string, RegExp>();

/** Throws SyntaxError for a pattern JavaScript cannot read: CRDs with such a pattern are refused when they are created. */
export function patternOf(pattern: string): RegExp {
  let compiled = patterns.get(pattern);
  if (compiled === undefined) {
    compiled = compilePattern(pattern);
    patterns.set(pattern, compiled);
  }
  return compiled;
}

function compilePattern(pattern: string): RegExp {
  const portable = pattern.replaceAll("\\z", "$").replaceAll("\\A", "^").replaceAll("(?P<", "(?<");
  try {
    return new RegExp(portable, "u");
  } catch {
    return new RegExp(portable); // RE2 allows escapes that the unicode mode refuses
  }
}
