/** Pure. `metadata.managedFields`: who owns which paths. */
import { type ApiObject, digString, isRecord } from "../object.ts";
import type { Schema } from "../schema/schema.ts";
import { fromFieldsV1, pathsOf, SEPARATOR, toFieldsV1 } from "./field-set.ts";

export interface Writer {
  readonly manager: string;
  readonly apiVersion: string;
  readonly subresource?: string | undefined;
}

/** One manager's paths; `paths` is replaced as ownership moves. */
export interface OwnedFields extends Writer {
  readonly operation: string;
  time: string | undefined;
  paths: Set<string>;
}

export function loadOwners(object: ApiObject | undefined): OwnedFields[] {
  const entries: unknown = object?.metadata.managedFields;
  if (!Array.isArray(entries)) return [];
  return entries.filter(isRecord).map((entry) => ({
    manager: digString(entry, "manager") ?? "",
    operation: digString(entry, "operation") ?? "",
    apiVersion: digString(entry, "apiVersion") ?? "",
    subresource: typeof entry["subresource"] === "string" ? entry["subresource"] : undefined,
    time: typeof entry["time"] === "string" ? entry["time"] : undefined,
    paths: fromFieldsV1(entry["fieldsV1"]),
  }));
}

/** Writes the owners into the object; those who own nothing are left out. */
export function saveOwners(object: ApiObject, owners: readonly OwnedFields[]): void {
  const kept = owners.filter((owner) => owner.paths.size > 0);
  if (kept.length === 0) {
    delete object.metadata.managedFields;
    return;
  }
  object.metadata.managedFields = kept.map((owner) => ({
    manager: owner.manager,
    operation: owner.operation,
    apiVersion: owner.apiVersion,
    ...(owner.time === undefined ? {} : { time: owner.time }),
    fieldsType: "FieldsV1",
    fieldsV1: toFieldsV1(owner.paths),
    ...(owner.subresource === undefined ? {} : { subresource: owner.subresource }),
  }));
}

export function isOwner(owner: OwnedFields, writer: Writer, operation: string): boolean {
  return (
    owner.manager === writer.manager &&
    owner.operation === operation &&
    owner.apiVersion === writer.apiVersion &&
    (owner.subresource ?? "") === (writer.subresource ?? "")
  );
}

/** Paths whose value differs or is new in `next`. */
export function changedPaths(
  live: ReadonlyMap<string, string>,
  next: ReadonlyMap<string, string>,
): Set<string> {
  const changed = new Set<string>();
  for (const [path, text] of next) if (live.get(path) !== text) changed.add(path);
  return changed;
}

/**
 * Ownership after a create, update or any patch but apply: every changed path goes to the writer's Update entry.
 * `next` is the caller's own copy and receives the new managedFields.
 */
export function trackUpdate(
  live: ApiObject | undefined,
  next: ApiObject,
  schema: Schema | undefined,
  by: Writer & { now: string },
): void {
  const before = live === undefined ? new Map<string, string>() : pathsOf(live, schema);
  const after = pathsOf(next, schema);
  const changed = withNewParents(before, changedPaths(before, after));
  const removed = new Set([...before.keys()].filter((path) => !after.has(path)));
  const owners = startingOwners(live, next);
  if (changed.size > 0 || removed.size > 0) {
    const mine = owners.find((owner) => isOwner(owner, by, "Update"));
    for (const owner of owners) owner.paths = owner.paths.difference(removed);
    for (const owner of owners) if (owner !== mine) owner.paths = owner.paths.difference(changed);
    if (mine === undefined) {
      owners.push({
        manager: by.manager,
        apiVersion: by.apiVersion,
        subresource: by.subresource,
        operation: "Update",
        time: by.now,
        paths: changed,
      });
    } else if (changed.size > 0) {
      mine.time = by.now;
      mine.paths = mine.paths.union(changed);
    }
  }
  saveOwners(next, owners);
}

/** A client may rewrite managedFields; an entry list of one empty object asks for a reset. */
function startingOwners(live: ApiObject | undefined, next: ApiObject): OwnedFields[] {
  const sent = next.metadata.managedFields;
  if (sent === undefined) return loadOwners(live);
  const owners = loadOwners(next).filter((owner) => owner.manager !== "" || owner.operation !== "");
  return sent.length > 0 && owners.length === 0 ? [] : owners;
}

/** The roots that everyone shares and nobody owns. */
const SHARED_ROOTS = new Set(["f:metadata", "f:spec", "f:status"]);

/** Maps that came into being with a changed path belong to its writer too. */
function withNewParents(before: ReadonlyMap<string, string>, changed: ReadonlySet<string>): Set<string> {
  const existing = new Set([...before.keys()].flatMap((path) => [path, ...parentsOf(path)]));
  const parents = [...changed].flatMap((path) => [...parentsOf(path)]);
  const fresh = parents.filter((parent) => !existing.has(parent) && !SHARED_ROOTS.has(parent));
  return changed.union(new Set(fresh));
}

function* parentsOf(path: string): Iterable<string> {
  for (let at = path.lastIndexOf(SEPARATOR); at > 0; at = path.lastIndexOf(SEPARATOR, at - 1))
    yield path.slice(0, at);
}
