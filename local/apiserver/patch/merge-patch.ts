/** Pure. JSON Merge Patch (RFC 7386). */
import { isRecord, type JsonMap } from "../object.ts";
import { setOwn } from "../schema/prune.ts";

export function mergePatch(document: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const out: JsonMap = isRecord(document) ? { ...document } : {};
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete out[field];
    else setOwn(out, field, mergePatch(Object.hasOwn(out, field) ? out[field] : undefined, value));
  }
  return out;
}
