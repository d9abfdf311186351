/** Pure. The JSONPath subset of printer columns and scale paths: `.a.b`, `['a']`, `[0]`, `[*]`, `[?(@.k=="v")]`, `\.` in names. */
import { dig, isRecord } from "../object.ts";

const STEP = /\.((?:\\.|[^.[\\])+)|\['([^']*)'\]|\[(\d+|\*)\]|\[\?\(@\.([\w.]+)\s*==\s*["']([^"']*)["']\)\]/g;

/** All values the path leads to, in order. */
export function jsonPathValues(root: unknown, path: string): unknown[] {
  let values: unknown[] = [root];
  for (const step of path.replace(/^\{|\}$/g, "").matchAll(STEP)) {
    values = values
      .filter((value) => value !== undefined && value !== null)
      .flatMap((value) => follow(value, step));
  }
  return values.filter((value) => value !== undefined);
}

function follow(value: unknown, step: RegExpExecArray | RegExpMatchArray): unknown[] {
  const [, dotted, quoted, index, key, wanted] = step;
  const field = quoted ?? dotted?.replaceAll("\\", "");
  if (field !== undefined) return isRecord(value) && Object.hasOwn(value, field) ? [value[field]] : [];
  if (index === "*") return Array.isArray(value) ? value : isRecord(value) ? Object.values(value) : [];
  if (!Array.isArray(value)) return [];
  if (index !== undefined) return value.slice(Number(index), Number(index) + 1);
  return value.filter((item) => String(dig(item, ...(key ?? "").split("."))) === wanted);
}

/** One cell: the first value, several joined with commas. */
export function jsonPath(root: unknown, path: string): unknown {
  const values = jsonPathValues(root, path);
  return values.length > 1
    ? values.map((value) => (typeof value === "string" ? value : JSON.stringify(value))).join(",")
    : values[0];
}

/** Field names of a simple path (`.spec.replicas`), for writing through it. */
export function simplePath(path: string): string[] {
  return path.replace(/^\./, "").split(".");
}
