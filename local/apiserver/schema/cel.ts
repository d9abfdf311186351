/**
 * CEL expressions over JSON: compiled once, evaluated with values converted by their schema (integers are 64-bit, so BigInt).
 * On top of the standard library: the string extension, and the URL and list functions of Kubernetes. Not there: optionals (`.?`),
 * quantities, IPs, two-variable macros, cost limits; an expression that uses them does not compile.
 */
import {
  celEnv,
  type CelFunc,
  celFunc,
  celMethod,
  type CelInput,
  type CelList,
  CelScalar,
  isCelError,
  listType,
  parse,
  plan,
} from "@bufbuild/cel";
import { strings } from "@bufbuild/cel/ext";
import { isRecord, type JsonMap } from "../object.ts";
import { AUTHORIZER_FUNCTIONS } from "./cel-authorizer.ts";
import { fieldSchema, itemSchema, resolve, type Schema } from "./schema.ts";

export type CelOutcome =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "error"; readonly message: string };

export interface CelProgram {
  readonly source: string;
  run(variables: Readonly<Record<string, CelInput>>): CelOutcome;
}

const { STRING, BOOL, INT, DYN } = CelScalar;
const LIST = listType(DYN);

function urlPart(name: string, read: (url: URL) => string): CelFunc {
  return celMethod(name, STRING, [], STRING, function (this: string) {
    return read(new URL(this));
  });
}

function extreme(
  name: string,
  better: (a: number | bigint | string, b: number | bigint | string) => boolean,
): CelFunc {
  return celMethod(name, LIST, [], DYN, function (this: CelList) {
    const items = [...this] as (number | bigint | string)[];
    if (items.length === 0) throw new Error(`${name} called on empty list`);
    return items.reduce((best, item) => (better(item, best) ? item : best));
  });
}

const FUNCTIONS: CelFunc[] = [
  ...strings,
  ...AUTHORIZER_FUNCTIONS,
  celFunc("isURL", [STRING], BOOL, (text) => URL.canParse(text)),
  celFunc("url", [STRING], STRING, (text) => new URL(text).href),
  urlPart("getScheme", (url) => url.protocol.slice(0, -1)),
  urlPart("getHost", (url) => url.host),
  urlPart("getHostname", (url) => url.hostname),
  urlPart("getPort", (url) => url.port),
  urlPart("getEscapedPath", (url) => url.pathname),
  celMethod("find", STRING, [STRING], STRING, function (this: string, pattern: string) {
    return new RegExp(pattern).exec(this)?.[0] ?? "";
  }),
  celMethod("isSorted", LIST, [], BOOL, function (this: CelList) {
    const items = [...this] as (number | bigint | string)[];
    return items.every((item, i) => i === 0 || (items[i - 1] ?? item) <= item);
  }),
  celMethod("sum", LIST, [], DYN, function (this: CelList) {
    const items = [...this];
    if (items.some((item) => typeof item === "number"))
      return items.reduce<number>((sum, item) => sum + Number(item), 0);
    return items.reduce<bigint>((sum, item) => sum + BigInt(item as bigint), 0n);
  }),
  extreme("min", (a, b) => a < b),
  extreme("max", (a, b) => a > b),
  celMethod("indexOf", LIST, [DYN], INT, function (this: CelList, wanted) {
    return BigInt([...this].findIndex((item) => item === wanted));
  }),
];

const environment = celEnv({ funcs: FUNCTIONS });
const programs = new Map<string, CelProgram>();
const MAX_PROGRAMS = 5000;

/** Throws when the expression does not parse. Programs are kept: rules are shared by every object of a kind. */
export function compileCel(source: string): CelProgram {
  const known = programs.get(source);
  if (known !== undefined) return known;
  const evaluate = plan(environment, parse(source));
  const program: CelProgram = {
    source,
    run: (variables) => {
      try {
        const value: unknown = evaluate(variables);
        return isCelError(value) ? { kind: "error", message: firstLine(value) } : { kind: "value", value };
      } catch (error) {
        return { kind: "error", message: firstLine(error) };
      }
    },
  };
  if (programs.size >= MAX_PROGRAMS) programs.clear();
  programs.set(source, program);
  return program;
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0] ?? text;
}

/** JSON to CEL by its schema; without one whole numbers are integers. */
export function toCel(value: unknown, schema?: Schema): CelInput {
  if (value === undefined || value === null) return null;
  if (typeof value === "number") return numberToCel(value, schema);
  if (Array.isArray(value)) {
    const items = itemSchema(schema);
    return value.map((item) => toCel(item, items)) as CelInput;
  }
  return isRecord(value) ? mapToCel(value, resolve(schema)) : (value as string | boolean);
}

function numberToCel(value: number, schema: Schema | undefined): CelInput {
  const isDouble = !Number.isInteger(value) || resolve(schema)?.type === "number";
  return isDouble ? value : BigInt(value);
}

function mapToCel(value: JsonMap, schema: Schema | undefined): CelInput {
  const entries = new Map<string, CelInput>();
  const declared = schema?.properties ?? {};
  for (const [field, child] of Object.entries(value)) {
    if (child === undefined) continue;
    entries.set(
      Object.hasOwn(declared, field) ? escapeField(field) : field,
      toCel(child, fieldSchema(schema, field)),
    );
  }
  return entries as CelInput;
}

const RESERVED = new Set(
  "true false null in as break const continue else for function if import let loop package namespace return var void while".split(
    " ",
  ),
);
const ESCAPES: Readonly<Record<string, string>> = {
  __: "__underscores__",
  ".": "__dot__",
  "-": "__dash__",
  "/": "__slash__",
};

/** Declared fields whose names are not identifiers are spelt differently in rules; keys of maps are not. */
function escapeField(field: string): string {
  if (RESERVED.has(field)) return `__${field}__`;
  return field.replace(/__|[.\-/]/g, (match) => ESCAPES[match] ?? match);
}
