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
    const { uid = "", namespace = "", name, ownerReferences = [] } = object.metadata;
    const stored = { id, namespace, name };
    index.observe(stored, gone ? undefined : object, previous);
    if (gone) {
      deletedOwners.add(uid);
      const waiting = ownerReferences.flatMap((reference) => index.waiting(reference.uid));
      for (const owner of waiting) owners.add(placeText(owner));
      return;
    }
    const waits = waitsForDependents(object);
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

function waitsForDependents({ metadata: { deletionTimestamp, finalizers = [] } }: ApiObject): boolean {
  return deletionTimestamp !== undefined && finalizers.some(holdsForDependents);
}

function holdsForDependents(finalizer: string): boolean {
  return finalizer === FOREGROUND || finalizer === ORPHAN;
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
  if (owner?.metadata.deletionTimestamp === undefined) return;
  let blocked = false;
  for (const dependent of index.dependents(owner.metadata.uid ?? "")) {
    const object = find(client, dependent);
    if (object !== undefined && (await blocksOwner(client, dependent.id, object, owner))) blocked = true;
  }
  if (blocked) return;
  await client.updateTrusted(place.id, owner, (live): JsonMap => {
    const left = (live.metadata.finalizers ?? []).filter((finalizer) => !holdsForDependents(finalizer));
    return { ...live, metadata: { ...live.metadata, finalizers: left } };
  });
}

/** Lets one dependent go, or deletes it; true while the owner has to wait for it. */
async function blocksOwner(
  client: ControllerClient,
  id: string,
  object: ApiObject,
  owner: ApiObject,
): Promise<boolean> {
  const { uid = "", finalizers = [] } = owner.metadata;
  if (finalizers.includes(ORPHAN)) await strip(client, id, object, uid);
  if (!finalizers.includes(FOREGROUND)) return false;
  const marked = object.metadata.deletionTimestamp !== undefined;
  const gone = !marked && (await client.delete(id, object, { propagationPolicy: "Foreground" }));
  const references = object.metadata.ownerReferences ?? [];
  return (
    !gone && references.some((reference) => reference.uid === uid && reference.blockOwnerDeletion === true)
  );
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
