/** DELETE: at once, or marked and left to finalizers, to the namespace's contents, or to a pod's grace period. */
import { conflict, invalidValue, StatusError } from "../http/status-error.ts";
import { type ApiObject, clone, dig, digNumber, digString, type JsonMap, timestamp } from "../object.ts";
import { keyOf, type Resource } from "../registry/resource.ts";
import type { RequestContext, RestDeps, Target } from "./context.ts";
import { isFinished, readObject } from "./modify.ts";

export interface Deletion {
  readonly object: ApiObject;
  /** False while something still holds the object back. */
  readonly gone: boolean;
}

const DEFAULT_GRACE_SECONDS = 30;

export async function deleteObject(
  deps: RestDeps,
  target: Target,
  options: JsonMap,
  context: RequestContext,
): Promise<Deletion> {
  const { resource, namespace, name } = target;
  checkPreconditions(target, readObject(deps, target), options);
  await deps.admission.validate({
    operation: "DELETE",
    target,
    object: undefined,
    old: readObject(deps, target),
    context,
  });
  const live = readObject(deps, target); // again: a webhook may have taken its time
  checkPreconditions(target, live, options);
  const grace = graceSeconds(deps, resource, live, options);
  const next = markedObject(deps, live, { grace, finalizers: finalizersFor(live, options) });
  if (resource.id === "namespaces") next.status = { ...(next.status as JsonMap), phase: "Terminating" };
  const key = keyOf(resource, namespace, name);
  if (isFinished(resource, next)) {
    if (context.dryRun) return { object: next, gone: true };
    const removed = deps.store.remove(resource.id, key) ?? next;
    return {
      object:
        resource.id === "pods"
          ? { ...removed, metadata: { ...next.metadata, ...revisionOf(removed) } }
          : removed,
      gone: true,
    };
  }
  if (context.dryRun || isUnchanged(live, next)) return { object: live, gone: false };
  return { object: deps.store.put(resource.id, key, next), gone: false };
}

function revisionOf(object: ApiObject): JsonMap {
  return { resourceVersion: object.metadata.resourceVersion };
}

function checkPreconditions(target: Target, live: ApiObject, options: JsonMap): void {
  const uid = digString(options, "preconditions", "uid");
  const revision = digString(options, "preconditions", "resourceVersion");
  const { metadata } = live;
  const { kind } = target.resource;
  const named = { ...target.resource, id: kind, plural: kind };
  if (uid !== undefined && uid !== metadata.uid) {
    throw conflict(
      named,
      target.name,
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`,
    );
  }
  if (revision !== undefined && revision !== metadata.resourceVersion) {
    throw conflict(
      named,
      target.name,
      `the ResourceVersion in the precondition (${revision}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`,
    );
  }
}

/** Only pods that run on a node wait: the kubelet confirms with a deletion of grace 0. */
function graceSeconds(deps: RestDeps, resource: Resource, live: ApiObject, options: JsonMap): number {
  const asked = digNumber(options, "gracePeriodSeconds");
  if (asked !== undefined && asked < 0) {
    throw new StatusError(
      422,
      `DeleteOptions.meta.k8s.io "" is invalid: gracePeriodSeconds: ${invalidValue("gracePeriodSeconds", asked, "must be greater than or equal to 0").message}`,
    );
  }
  if (resource.id !== "pods") return 0;
  const node = digString(live.spec, "nodeName") ?? "";
  const phase = digString(live.status, "phase");
  if (
    node === "" ||
    phase === "Succeeded" ||
    phase === "Failed" ||
    deps.store.get("nodes", node) === undefined
  )
    return 0;
  const wanted = asked ?? digNumber(live.spec, "terminationGracePeriodSeconds") ?? DEFAULT_GRACE_SECONDS;
  const running = live.metadata.deletionGracePeriodSeconds;
  return running === undefined ? wanted : Math.min(wanted, running); // a second deletion may only shorten
}

function finalizersFor(live: ApiObject, options: JsonMap): string[] {
  const own = live.metadata.finalizers ?? [];
  const policy = digString(options, "propagationPolicy");
  const orphan = policy === "Orphan" || dig(options, "orphanDependents") === true;
  const added = policy === "Foreground" ? "foregroundDeletion" : orphan ? "orphan" : undefined;
  return added === undefined || own.includes(added) ? own : [...own, added];
}

/** Deleted by emptying them first: they carry a time and nothing else. */
const MARKED_ONLY = new Set(["Namespace", "CustomResourceDefinition"]);

function markedObject(
  deps: RestDeps,
  live: ApiObject,
  mark: { readonly grace: number; readonly finalizers: readonly string[] },
): ApiObject {
  const next = clone(live);
  const { metadata } = next;
  const first = metadata.deletionTimestamp === undefined;
  if (MARKED_ONLY.has(live.kind)) {
    metadata.deletionTimestamp ??= timestamp(deps.clock.nowMs());
    if (mark.finalizers.length > 0) metadata.finalizers = [...mark.finalizers];
    return next;
  }
  if (first || (metadata.deletionGracePeriodSeconds ?? 0) > mark.grace) {
    metadata.deletionTimestamp = timestamp(deps.clock.nowMs() + mark.grace * 1000);
    metadata.deletionGracePeriodSeconds = mark.grace;
  }
  if (first && metadata.generation !== undefined) metadata.generation += 1;
  if (mark.finalizers.length > 0) metadata.finalizers = [...mark.finalizers];
  return next;
}

function isUnchanged(live: ApiObject, next: ApiObject): boolean {
  return (
    live.metadata.deletionTimestamp === next.metadata.deletionTimestamp &&
    (live.metadata.finalizers?.length ?? 0) === (next.metadata.finalizers?.length ?? 0)
  );
}
