/**
 * Pure. Sets of owned paths. Inside the server a path is one string of segments (`f:spec`, `k:{"name":"a"}`, `v:"x"`); FieldsV1 is
 * only its form on the wire.
 */
import { isRecord, type JsonMap } from "../object.ts";
import { setOwn } from "../schema/prune.ts";
import { fieldSchema, itemSchema, resolve, type Schema } from "../schema/schema.ts";

export const SEPARATOR = "\u0000";

/** Nobody owns these: the server writes them. */
const UNOWNED = new Set([
  "f:apiVersion",
  "f:kind",
  ...[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
  ].map((field) => `f:metadata${SEPARATOR}f:${field}`),
]);

/** Every path that the value holds, with its value as text: a leaf its JSON, an item of a map list the empty text. */
export function pathsOf(value: unknown, schema: Schema | undefined): Map<string, string> {
  const out = new Map<string, string>();
  collect(value, schema, "", out);
  return out;
}

function join(path: string, segment: string): string {
  return path === "" ? segment : path + SEPARATOR + segment;
}

function collect(value: unknown, schema: Schema | undefined, path: string, out: Map<string, string>): void {
  if (UNOWNED.has(path) || value === undefined) return;
  const own = resolve(schema);
  if (isRecord(value) && own?.["x-kubernetes-map-type"] !== "atomic") {
    const fields = Object.keys(value);
    if (fields.length === 0 && path !== "") out.set(path, "{}");
    for (const field of fields) collect(value[field], fieldSchema(own, field), join(path, `f:${field}`), out);
  } else if (!Array.isArray(value) || !collectItems(value, own, path, out)) {
    if (path !== "") out.set(path, JSON.stringify(value));
  }
}

/** False for a list that is owned whole. */
function collectItems(
  list: readonly unknown[],
  schema: Schema | undefined,
  path: string,
  out: Map<string, string>,
): boolean {
  const type = schema?.["x-kubernetes-list-type"];
  if (type === "set") for (const item of list) out.set(join(path, `v:${JSON.stringify(item)}`), "");
  if (type !== "map") return type === "set";
  for (const item of list) {
    const at = join(path, itemKey(item, schema?.["x-kubernetes-list-map-keys"] ?? []));
    out.set(at, "");
    collect(item, itemSchema(schema), at, out);
  }
  return true;
}

/** `k:{...}` of a map list's item. A port without protocol is a TCP port. */
export function itemKey(item: unknown, keys: readonly string[]): string {
  const values = keys.toSorted().map((key): [string, unknown] => {
    const value = isRecord(item) ? item[key] : undefined;
    return [key, value ?? (key === "protocol" ? "TCP" : null)];
  });
  return `k:${JSON.stringify(Object.fromEntries(values))}`;
}

export function toFieldsV1(paths: ReadonlySet<string>): JsonMap {
  const root: JsonMap = {};
  for (const path of paths) {
    let node = root;
    for (const segment of path.split(SEPARATOR)) {
      if (!Object.hasOwn(node, segment)) setOwn(node, segment, {});
      node = node[segment] as JsonMap;
    }
    node["."] = {};
  }
  return withoutLonelyDots(root);
}

function withoutLonelyDots(node: JsonMap): JsonMap {
  const segments = Object.keys(node);
  if (segments.length === 1 && segments[0] === ".") return {};
  const out: JsonMap = {};
  for (const segment of segments) {
    setOwn(out, segment, segment === "." ? {} : withoutLonelyDots(node[segment] as JsonMap));
  }
  return out;
}

export function fromFieldsV1(fields: unknown): Set<string> {
  const out = new Set<string>();
  decode(fields, "", out, 0);
  return out;
}

const MAX_DEPTH = 100;

function decode(node: unknown, path: string, out: Set<string>, depth: number): void {
  const segments = isRecord(node) && depth < MAX_DEPTH ? Object.keys(node) : [];
  if (segments.length === 0 && path !== "") out.add(path);
  for (const segment of segments) {
    if (segment === ".") out.add(path);
    else decode((node as JsonMap)[segment], join(path, segment), out, depth + 1);
  }
}

/** `.spec.template.spec.containers[name="a"].image`. */
export function describePath(path: string): string {
  return path.split(SEPARATOR).map(describeSegment).join("");
}

function describeSegment(segment: string): string {
  if (segment.startsWith("f:")) return `.${segment.slice(2)}`;
  if (segment.startsWith("v:")) return `[=${segment.slice(2)}]`;
  try {
    const keys = JSON.parse(segment.slice(2)) as JsonMap;
    return `[${Object.entries(keys)
      .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
      .join(",")}]`;
  } catch {
    return `[${segment}]`;
  }
}
