/** How controllers write: through the same REST verbs as everyone, under a service account of their own. */
import type { ApiObject, JsonMap, OwnerReference } from "../object.ts";
import { keyOf } from "../registry/resource.ts";
import { internalContext, type RequestContext, type RestDeps, type Target } from "../rest/context.ts";
import { createObject } from "../rest/create.ts";
import { deleteObject } from "../rest/delete.ts";
import { modifyObject } from "../rest/modify.ts";
import type { StoreEvent } from "../store/object-store.ts";
import { type WorkQueue, workQueue } from "./work-queue.ts";

export class ControllerClient {
  readonly deps: RestDeps;
  readonly #context: RequestContext;
  readonly #name: string;
  readonly #stops: (() => void)[] = [];

  constructor(deps: RestDeps, name: string) {
    this.deps = deps;
    this.#name = name;
    this.#context = internalContext(name);
  }

  get(id: string, namespace: string, name: string): ApiObject | undefined {
    const resource = this.deps.registry.byId(id);
    return resource === undefined ? undefined : this.deps.store.get(id, keyOf(resource, namespace, name));
  }

  list(id: string, namespace?: string): readonly ApiObject[] {
    const all = this.deps.store.list(id);
    return namespace === undefined ? all : all.filter((object) => object.metadata.namespace === namespace);
  }

  create(id: string, namespace: string, body: JsonMap): Promise<ApiObject> {
    return createObject(this.deps, this.#target(id, namespace, ""), body, this.#context);
  }

  /** `change` returns the wanted object; an unchanged one writes nothing. */
  update(
    id: string,
    object: ApiObject,
    change: (live: ApiObject) => JsonMap,
    subresource = "",
  ): Promise<ApiObject> {
    const { namespace = "", name } = object.metadata;
    const target = { ...this.#target(id, namespace, name), subresource };
    return modifyObject(
      this.deps,
      target,
      { build: change, operation: "Update", retry: true },
      this.#context,
    );
  }

  /** For what only the server may write: finalizers and conditions of its own kinds. */
  updateTrusted(id: string, object: ApiObject, change: (live: ApiObject) => JsonMap): Promise<ApiObject> {
    const target = this.#target(id, object.metadata.namespace ?? "", object.metadata.name);
    return modifyObject(
      this.deps,
      target,
      { build: change, operation: "Update", retry: true, trusted: true },
      this.#context,
    );
  }

  setStatus(id: string, object: ApiObject, status: object): Promise<ApiObject> {
    return this.update(id, object, (live) => ({ ...live, status }), "status");
  }

  /** Deletes exactly this object, not another of its name. */
  async delete(id: string, object: ApiObject, options: JsonMap = {}): Promise<boolean> {
    const target = this.#target(id, object.metadata.namespace ?? "", object.metadata.name);
    return this.#delete(target, object, options);
  }

  /** As the deletion of a whole collection does. */
  async deleteAsOneOfMany(id: string, object: ApiObject): Promise<boolean> {
    const target = this.#target(id, object.metadata.namespace ?? "", object.metadata.name);
    return this.#delete({ ...target, isOneOfMany: true }, object, {});
  }

  async #delete(target: Target, object: ApiObject, options: JsonMap): Promise<boolean> {
    const exactly = { preconditions: { uid: object.metadata.uid }, ...options };
    return (await deleteObject(this.deps, target, exactly, this.#context)).gone;
  }

  /** A queue that ends with the controller. */
  queue(work: (key: string) => Promise<void>): WorkQueue {
    const queue = workQueue(this.#name, work, this.deps);
    this.#stops.push(() => queue.stop());
    return queue;
  }

  /** What is there now as ADDED, then every change. */
  watch(id: string, listener: (event: StoreEvent) => void): void {
    for (const [key, current] of this.deps.store.entries(id)) {
      listener({ revision: 0, type: "ADDED", key, current, previous: undefined });
    }
    this.#stops.push(this.deps.store.subscribe(id, listener));
  }

  onStop(stop: () => void): void {
    this.#stops.push(stop);
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }

  #target(id: string, namespace: string, name: string): Target {
    const resource = this.deps.registry.byId(id);
    if (resource === undefined) throw new Error(`no resource ${id}`);
    return { resource, namespace: resource.namespaced ? namespace : "", name, subresource: "" };
  }
}

export function objectKey(object: ApiObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

export function controllerOf(object: ApiObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((reference) => reference.controller === true);
}

export function ownerReference(owner: ApiObject): OwnerReference {
  const { name, uid = "" } = owner.metadata;
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name,
    uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Names that differ when what they are made from differs. */
export function shortHash(value: unknown): string {
  let hash = 0x811c9dc5;
  for (const character of JSON.stringify(value))
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash
    .toString(36)
    .padStart(7, "0")
    .slice(-7)
    .replace(/[aeiou013]/g, "x");
}
