/**
 * Owner references: dependents of a deleted owner go (background), go first (foreground), or stay without the reference (orphan).
 * An object whose owners never existed is collected too.
 */
import { type ApiObject, isRecord, type JsonMap } from "../object.ts";
import type { RestDeps } from "../rest/context.ts";
import { ControllerClient } from "./controller-client.ts";
import { OwnerIndex, type Stored } from "./owner-index.ts";

const FOREGROUND = "foregroundDeletion";
const ORPHAN = "orphan";
/** An owner and its dependents may be written in either order. */
const DANGLING_AFTER_MS = 500;

export function startGarbageCollector(deps: RestDeps): ControllerClient {
  const client = new ControllerClient(deps, "generic-garbage-collector");
  const index = new OwnerIndex();
  const deletedOwners = client.queue((uid) => collectDependents(client, index, uid));
  const owners = client.queue((place) => releaseOwner(client, index, parsePlace(place)));
  const dangling = client.queue((place) => collectDangling(client, index, parsePlace(place)));
  const observe = (id: string, object: ApiObject, previous: ApiObject | undefined, gone: boolean): void => {
    const stored = { id, namespace: object.metadata.namespace ?? "", name: object.metadata.name };
    index.observe(stored, gone ? undefined : object, previous);
    const { uid = "", deletionTimestamp, finalizers = [], ownerReferences = [] } = object.metadata;
    if (gone) {
      deletedOwners.add(uid);
      for (const reference of ownerReferences)
        for (const owner of index.waiting(reference.uid)) owners.add(placeText(owner));
      return;
    }
    const waits =
      deletionTimestamp !== undefined &&
      finalizers.some((finalizer) => finalizer === FOREGROUND || finalizer === ORPHAN);
    index.setWaiting(uid, waits ? stored : undefined);
    if (waits) owners.add(placeText(stored));
    if (previous === undefined && ownerReferences.length > 0)
      dangling.add(placeText(stored), DANGLING_AFTER_MS);
  };
  for (const id of deps.store.resources())
    for (const object of deps.store.list(id)) observe(id, object, undefined, false);
  client.onStop(
    deps.store.subscribeAll((id, event) =>
      observe(id, event.current.object, event.previous?.object, event.type === "DELETED"),
    ),
  );
  return client;
}

function placeText({ id, namespace, name }: Stored): string {
  return JSON.stringify([id, namespace, name]);
}

function parsePlace(text: string): Stored {
  const [id = "", namespace = "", name = ""] = JSON.parse(text) as string[];
  return { id, namespace, name };
}

function find(client: ControllerClient, { id, namespace, name }: Stored): ApiObject | undefined {
  return client.get(id, namespace, name);
}

/** The owner is gone: dependents with another living owner lose the reference, the others go. */
async function collectDependents(client: ControllerClient, index: OwnerIndex, uid: string): Promise<void> {
  for (const place of index.dependents(uid)) {
    const object = find(client, place);
    if (object === undefined || !refersTo(object, uid)) continue;
    const others = (object.metadata.ownerReferences ?? []).filter((reference) => reference.uid !== uid);
    if (others.some((reference) => index.exists(reference.uid))) await strip(client, place.id, object, uid);
    else await client.delete(place.id, object, { propagationPolicy: "Background" });
  }
}

function refersTo(object: ApiObject, uid: string): boolean {
  return (object.metadata.ownerReferences ?? []).some((reference) => reference.uid === uid);
}

async function strip(client: ControllerClient, id: string, object: ApiObject, uid: string): Promise<void> {
  await client.updateTrusted(id, object, (live) => ({
    ...live,
    metadata: {
      ...live.metadata,
      ownerReferences: (live.metadata.ownerReferences ?? []).filter((reference) => reference.uid !== uid),
    },
  }));
}

/** An owner that waits for its dependents (foreground) or for them to be let go (orphan). */
async function releaseOwner(client: ControllerClient, index: OwnerIndex, place: Stored): Promise<void> {
  const owner = find(client, place);
  const uid = owner?.metadata.uid ?? "";
  if (owner?.metadata.deletionTimestamp === undefined) return;
  const dependents = index
    .dependents(uid)
    .map((dependent) => ({ dependent, object: find(client, dependent) }));
  const finalizers = owner.metadata.finalizers ?? [];
  let blocked = false;
  for (const { dependent, object } of dependents) {
    if (object === undefined) continue;
    if (finalizers.includes(ORPHAN)) await strip(client, dependent.id, object, uid);
    else if (finalizers.includes(FOREGROUND)) {
      const blocks = object.metadata.ownerReferences?.some(
        (reference) => reference.uid === uid && reference.blockOwnerDeletion === true,
      );
      const gone =
        object.metadata.deletionTimestamp === undefined
          ? await client.delete(dependent.id, object, { propagationPolicy: "Foreground" })
          : false;
      if (!gone && blocks === true) blocked = true;
    }
  }
  if (blocked) return;
  await client.updateTrusted(place.id, owner, (live): JsonMap => {
    const left = (live.metadata.finalizers ?? []).filter(
      (finalizer) => finalizer !== FOREGROUND && finalizer !== ORPHAN,
    );
    return { ...live, metadata: { ...live.metadata, finalizers: left } };
  });
}

async function collectDangling(client: ControllerClient, index: OwnerIndex, place: Stored): Promise<void> {
  const object = find(client, place);
  const references = object?.metadata.ownerReferences ?? [];
  if (object === undefined || references.length === 0) return;
  const known = references.some((reference) => {
    const resource = client.deps.registry.byKind(reference.apiVersion, reference.kind);
    return index.exists(reference.uid) || (resource === undefined && isRecord(reference));
  });
  if (!known) await client.delete(place.id, object, { propagationPolicy: "Background" });
}
