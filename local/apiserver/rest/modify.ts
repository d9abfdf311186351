/** The one way an object changes: read, build, admit, compare-and-swap. PUT, PATCH, apply and subresources all come here. */
import { trackUpdate } from "../apply/managed-fields.ts";
import { conflict, forbiddenField, invalid, invalidValue, MODIFIED, notFound } from "../http/status-error.ts";
import { type ApiObject, clone, deepEqual, timestamp } from "../object.ts";
import { apiVersionOf, keyOf, type Resource } from "../registry/resource.ts";
import { strategyOf } from "../registry/strategies.ts";
import type { RequestContext, RestDeps, Target } from "./context.ts";
import { decode } from "./decode.ts";
import { validateObject } from "./validate-object.ts";

export interface Change {
  /** The wanted object from the live one, which must not be touched. May run again when someone else wrote meanwhile. */
  readonly build: (live: ApiObject) => unknown;
  readonly operation: "Update" | "Apply";
  /** False when the client named a revision: then a change in between is a conflict. */
  readonly retry: boolean;
  /** Written by the server itself (binding, finalizers): what a client may not change may be changed. */
  readonly trusted?: boolean;
}

const MAX_ATTEMPTS = 6;
/** Kept from the live object whatever the client sends. */
const SERVER_FIELDS = [
  "uid",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "generation",
  "generateName",
  "resourceVersion",
  "selfLink",
] as const;

/** The stored object in the version that the request asked for. */
export function inVersion(resource: Resource, object: ApiObject): ApiObject {
  const apiVersion = apiVersionOf(resource);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

export function readObject(deps: RestDeps, target: Target): ApiObject {
  const { resource, namespace, name } = target;
  const stored = deps.store.get(resource.id, keyOf(resource, namespace, name));
  if (stored === undefined) throw notFound(resource, name);
  return stored;
}

/** Resolves to the object as it is now: changed, unchanged, or removed when its last finalizer went. */
export async function modifyObject(
  deps: RestDeps,
  target: Target,
  change: Change,
  context: RequestContext,
): Promise<ApiObject> {
  for (let attempt = 1; ; attempt += 1) {
    const stored = readObject(deps, target);
    const live = inVersion(target.resource, stored);
    const next = prepare(deps, target, change, { live, context });
    const admitted = await admit(deps, target, { live, next, context, change });
    if (isSame(admitted, live)) return live;
    const key = keyOf(target.resource, target.namespace, target.name);
    if (deps.store.get(target.resource.id, key) === stored)
      return store(deps, target, admitted, context.dryRun);
    if (!change.retry || attempt >= MAX_ATTEMPTS) throw conflict(target.resource, target.name, MODIFIED);
  }
}

function prepare(
  deps: RestDeps,
  target: Target,
  change: Change,
  { live, context }: { live: ApiObject; context: RequestContext },
): ApiObject {
  const { resource, name } = target;
  const wanted = decode(deps, target, change.build(live), context);
  const { resourceVersion, uid } = wanted.metadata;
  if (resourceVersion !== undefined && resourceVersion !== live.metadata.resourceVersion)
    throw conflict(resource, name, MODIFIED);
  if (uid !== undefined && uid !== live.metadata.uid) {
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${live.metadata.uid}`,
    );
  }
  const next = withFixedParts(target, wanted, live, change.trusted === true);
  const strategy = strategyOf(resource.id);
  if (change.trusted !== true) strategy.onUpdate?.(next, live);
  strategy.defaults?.(next);
  if (change.operation === "Update") {
    const now = timestamp(deps.clock.nowMs());
    const by = {
      manager: context.manager,
      apiVersion: apiVersionOf(resource),
      subresource: target.subresource || undefined,
      now,
    };
    trackUpdate(live, next, deps.registry.schema(resource), by);
  }
  return next;
}

/** `/status` writes status only, everything else leaves it alone; server-written metadata stays. */
function withFixedParts(target: Target, wanted: ApiObject, live: ApiObject, trusted: boolean): ApiObject {
  const { resource, subresource } = target;
  let next = wanted;
  if (subresource === "status") next = statusWrite(resource, wanted, live);
  else if (resource.subresources.includes("status") && !trusted) {
    next = { ...wanted };
    if (live.status === undefined) delete next.status;
    else next.status = clone(live.status);
  }
  for (const field of SERVER_FIELDS) {
    if (trusted && (field === "deletionTimestamp" || field === "deletionGracePeriodSeconds")) continue;
    if (live.metadata[field] === undefined) delete next.metadata[field];
    else Object.assign(next.metadata, { [field]: live.metadata[field] });
  }
  return next;
}

function statusWrite(resource: Resource, wanted: ApiObject, live: ApiObject): ApiObject {
  const { managedFields } = wanted.metadata;
  const metadata = clone(live.metadata);
  if (managedFields === undefined) delete metadata.managedFields;
  else metadata.managedFields = managedFields;
  if (strategyOf(resource.id).statusTakesMetadata === true) {
    for (const field of ["labels", "annotations", "finalizers"] as const) {
      if (wanted.metadata[field] === undefined) delete metadata[field];
      else Object.assign(metadata, { [field]: wanted.metadata[field] });
    }
  }
  const next: ApiObject = { ...clone(live), metadata };
  if (wanted.status === undefined) delete next.status;
  else next.status = wanted.status;
  return next;
}

interface Candidate {
  readonly live: ApiObject;
  readonly next: ApiObject;
  readonly context: RequestContext;
  readonly change: Change;
}

async function admit(
  deps: RestDeps,
  target: Target,
  { live, next, context, change }: Candidate,
): Promise<ApiObject> {
  const { resource, name } = target;
  if (change.trusted !== true) refuseNewFinalizers(target, live, next);
  const strategy = strategyOf(resource.id);
  const request = { operation: "UPDATE" as const, target, old: live, context };
  const admitted = deps.admission.mutate({ ...request, object: next }) ?? next;
  const scarce = target.subresource === "" ? (strategy.allocate?.(admitted, live, deps.strategy) ?? []) : [];
  if (scarce.length > 0) throw invalid(resource, name, scarce);
  if (change.trusted !== true) validateObject(deps, resource, admitted, live);
  await deps.admission.validate({ ...request, object: admitted });
  if (
    live.metadata.generation !== undefined &&
    !deepEqual(desiredPart(resource, admitted), desiredPart(resource, live))
  ) {
    admitted.metadata.generation = live.metadata.generation + 1;
  }
  return admitted;
}

function refuseNewFinalizers({ resource, name }: Target, live: ApiObject, next: ApiObject): void {
  if (live.metadata.deletionTimestamp === undefined) return;
  const before = live.metadata.finalizers ?? [];
  const added = (next.metadata.finalizers ?? []).filter((finalizer) => !before.includes(finalizer));
  if (added.length === 0) return;
  const why = `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`;
  throw invalid(resource, name, [forbiddenField("metadata.finalizers", why)]);
}

/** What a generation counts: everything but metadata and status. */
function desiredPart(resource: Resource, object: ApiObject): unknown {
  const { metadata: _metadata, status, ...rest } = object;
  return resource.subresources.includes("status") ? rest : { ...rest, status };
}

/** Equal but for the times in managedFields: such a write keeps the revision. */
function isSame(a: ApiObject, b: ApiObject): boolean {
  const bare = (object: ApiObject): unknown => ({
    ...object,
    metadata: {
      ...object.metadata,
      managedFields: object.metadata.managedFields?.map(({ time: _time, ...entry }) => entry),
    },
  });
  return deepEqual(bare(a), bare(b));
}

function store(deps: RestDeps, target: Target, object: ApiObject, dryRun: boolean): ApiObject {
  if (dryRun) return object;
  const key = keyOf(target.resource, target.namespace, target.name);
  const saved = deps.store.put(target.resource.id, key, object);
  return isFinished(target.resource, saved) ? (deps.store.remove(target.resource.id, key) ?? saved) : saved;
}

/** Nothing holds a deleted object back any more: no finalizer, no grace period. */
export function isFinished(resource: Resource, object: ApiObject): boolean {
  const { deletionTimestamp, finalizers, deletionGracePeriodSeconds } = object.metadata;
  if (
    deletionTimestamp === undefined ||
    (finalizers?.length ?? 0) > 0 ||
    (deletionGracePeriodSeconds ?? 0) > 0
  )
    return false;
  const spec = object.spec as { finalizers?: unknown[] } | undefined;
  return resource.id !== "namespaces" || (spec?.finalizers?.length ?? 0) === 0;
}

/** PUT. Without a revision built-in kinds are overwritten and custom ones refused. */
export function updateObject(
  deps: RestDeps,
  target: Target,
  body: unknown,
  context: RequestContext,
): Promise<ApiObject> {
  const given = (body as Partial<ApiObject> | null | undefined)?.metadata?.resourceVersion;
  const pinned = given !== undefined && given !== "";
  if (!pinned && target.resource.custom !== undefined) {
    readObject(deps, target);
    throw invalid({ ...target.resource, kind: target.resource.plural }, target.name, [
      invalidValue("metadata.resourceVersion", 0, "must be specified for an update"),
    ]);
  }
  return modifyObject(deps, target, { build: () => body, operation: "Update", retry: !pinned }, context);
}
