/** Who depends on whom, by uid; fed by every change of every object. */
import type { ApiObject } from "../object.ts";

export interface Stored {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
}

export class OwnerIndex {
  readonly #dependents = new Map<string, Map<string, Stored>>();
  readonly #alive = new Set<string>();
  readonly #waiting = new Map<string, Stored>();

  /** `object` is undefined when it was deleted; `previous` is its state before. */
  observe(place: Stored, object: ApiObject | undefined, previous: ApiObject | undefined): void {
    const key = `${place.id}|${place.namespace}|${place.name}`;
    for (const reference of previous?.metadata.ownerReferences ?? []) this.#forget(reference.uid, key);
    const uid = (object ?? previous)?.metadata.uid ?? "";
    if (object === undefined) {
      this.#alive.delete(uid);
      this.#waiting.delete(uid);
      return;
    }
    this.#alive.add(uid);
    for (const reference of object.metadata.ownerReferences ?? []) {
      const own = this.#dependents.get(reference.uid) ?? new Map<string, Stored>();
      own.set(key, place);
      this.#dependents.set(reference.uid, own);
    }
  }

  dependents(uid: string): readonly Stored[] {
    return [...(this.#dependents.get(uid)?.values() ?? [])];
  }

  exists(uid: string): boolean {
    return this.#alive.has(uid);
  }

  /** Owners that wait for their dependents to go. */
  setWaiting(uid: string, place: Stored | undefined): void {
    if (place === undefined) this.#waiting.delete(uid);
    else this.#waiting.set(uid, place);
  }

  waiting(uid: string): readonly Stored[] {
    const place = this.#waiting.get(uid);
    return place === undefined ? [] : [place];
  }

  #forget(uid: string, key: string): void {
    const own = this.#dependents.get(uid);
    own?.delete(key);
    if (own?.size === 0) this.#dependents.delete(uid);
  }
}
