/** Pure. Server-side apply: merge what a manager sent, refuse what others own and would change, remove what it stopped sending. */
import { badRequest, StatusError } from "../http/status-error.ts";
import { type ApiObject, clone, deepEqual, isRecord, type JsonMap } from "../object.ts";
import type { Resource } from "../registry/resource.ts";
import { setOwn } from "../schema/prune.ts";
import { fieldSchema, itemSchema, resolve, type Schema } from "../schema/schema.ts";
import { describePath, itemKey, pathsOf, SEPARATOR } from "./field-set.ts";
import {
  changedPaths,
  isOwner,
  loadOwners,
  type OwnedFields,
  saveOwners,
  type Writer,
} from "./managed-fields.ts";

export interface ApplyRequest {
  readonly resource: Resource;
  readonly schema: Schema | undefined;
  readonly writer: Writer;
  readonly force: boolean;
  readonly now: string;
}

/** The object that results. Throws 409 with one cause per contested path. */
export function applyConfiguration(
  live: ApiObject | undefined,
  config: ApiObject,
  request: ApplyRequest,
): ApiObject {
  if ((config.metadata.managedFields?.length ?? 0) > 0)
    throw badRequest("metadata.managedFields must be nil");
  const { schema, writer } = request;
  const owners = loadOwners(live);
  const wanted = new Set(pathsOf(config, schema).keys());
  const mine = owners.find((owner) => isOwner(owner, writer, "Apply"));
  const merged = clone(live === undefined ? config : (mergeValue(live, config, schema) as ApiObject));
  if (live !== undefined) {
    const touched = changedPaths(pathsOf(live, schema), pathsOf(merged, schema)).intersection(wanted);
    settleConflicts(
      owners.filter((owner) => owner !== mine),
      touched,
      request,
    );
    removeAbandoned(merged, { owners, mine, wanted, schema });
  }
  if (mine === undefined) {
    owners.unshift({
      ...writer,
      subresource: writer.subresource,
      operation: "Apply",
      time: request.now,
      paths: wanted,
    });
  } else {
    if (mine.paths.symmetricDifference(wanted).size > 0) mine.time = request.now;
    mine.paths = wanted;
  }
  saveOwners(merged, owners);
  return merged;
}

function settleConflicts(
  others: readonly OwnedFields[],
  touched: ReadonlySet<string>,
  request: ApplyRequest,
): void {
  const causes: { reason: string; message: string; field: string; owner: string }[] = [];
  for (const owner of others) {
    const contested = owner.paths.intersection(touched);
    if (request.force) owner.paths = owner.paths.difference(contested);
    const by = `"${owner.manager}"${owner.subresource === undefined ? "" : ` with subresource "${owner.subresource}"`}`;
    const who = owner.operation === "Update" ? `${by} using ${owner.apiVersion}` : by;
    for (const path of contested) {
      causes.push({
        reason: "FieldManagerConflict",
        message: `conflict with ${who}`,
        field: describePath(path),
        owner: who,
      });
    }
  }
  if (request.force || causes.length === 0) return;
  const [first] = causes;
  const count = causes.length === 1 ? "1 conflict" : `${causes.length} conflicts`;
  const text = causes.length === 1 ? `${first?.message}: ${first?.field}` : groupByOwner(causes);
  throw new StatusError(409, `Apply failed with ${count}: ${text}`, {
    details: { causes: causes.map(({ reason, message, field }) => ({ reason, message, field })) },
  });
}

function groupByOwner(causes: readonly { readonly owner: string; readonly field: string }[]): string {
  return [...Map.groupBy(causes, (cause) => cause.owner)]
    .map(([owner, list]) => `conflicts with ${owner}:\n${list.map((cause) => `- ${cause.field}`).join("\n")}`)
    .join("\n");
}

interface Abandonment {
  readonly owners: readonly OwnedFields[];
  readonly mine: OwnedFields | undefined;
  readonly wanted: ReadonlySet<string>;
  readonly schema: Schema | undefined;
}

/** Removes what only this manager owned and no longer sends, unless something below is still wanted or owned. */
function removeAbandoned(merged: ApiObject, { owners, mine, wanted, schema }: Abandonment): void {
  if (mine === undefined) return;
  const kept = [wanted, ...owners.filter((owner) => owner !== mine).map((owner) => owner.paths)];
  const abandoned = [...mine.paths.difference(wanted)].toSorted(
    (a, b) => a.split(SEPARATOR).length - b.split(SEPARATOR).length,
  );
  for (const path of abandoned) {
    const below = path + SEPARATOR;
    const held = kept.some((paths) => paths.has(path) || [...paths].some((other) => other.startsWith(below)));
    if (!held) removePath(merged, path.split(SEPARATOR), schema);
  }
}

function removePath(value: unknown, segments: readonly string[], schema: Schema | undefined): void {
  const [segment = "", ...rest] = segments;
  if (segment.startsWith("f:") && isRecord(value)) {
    const field = segment.slice(2);
    if (rest.length === 0) delete value[field];
    else removePath(value[field], rest, fieldSchema(schema, field));
    return;
  }
  if (!Array.isArray(value)) return;
  const keys = resolve(schema)?.["x-kubernetes-list-map-keys"] ?? [];
  const at = value.findIndex(
    (item) => (segment.startsWith("k:") ? itemKey(item, keys) : `v:${JSON.stringify(item)}`) === segment,
  );
  if (at < 0) return;
  if (rest.length === 0) value.splice(at, 1);
  else removePath(value[at], rest, itemSchema(schema));
}

/** Merges by the schema's list and map types; what is owned whole is replaced. */
function mergeValue(live: unknown, config: unknown, schema: Schema | undefined): unknown {
  const own = resolve(schema);
  if (Array.isArray(config) && Array.isArray(live)) return mergeItems(live, config, own);
  if (!isRecord(config) || !isRecord(live) || own?.["x-kubernetes-map-type"] === "atomic") return config;
  const out: JsonMap = { ...live };
  for (const [field, value] of Object.entries(config)) {
    const before = Object.hasOwn(live, field) ? live[field] : undefined;
    setOwn(out, field, mergeValue(before, value, fieldSchema(own, field)));
  }
  return out;
}

function mergeItems(
  live: readonly unknown[],
  config: readonly unknown[],
  schema: Schema | undefined,
): readonly unknown[] {
  const listType = schema?.["x-kubernetes-list-type"];
  if (listType === "set")
    return [...live, ...config.filter((item) => !live.some((other) => deepEqual(other, item)))];
  if (listType !== "map") return config;
  const keys = schema?.["x-kubernetes-list-map-keys"] ?? [];
  const out: unknown[] = [...live];
  for (const item of config) {
    const at = out.findIndex((other) => itemKey(other, keys) === itemKey(item, keys));
    if (at < 0) out.push(item);
    else out[at] = mergeValue(out[at], item, itemSchema(schema));
  }
  return out;
}
