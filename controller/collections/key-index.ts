/** Secondary index of a collection: from derived text (a namespace, an address) to the values that have it. */
import type { Change, Collection } from "./collection.ts";

export class KeyIndex<V> {
  readonly name: string;
  readonly collection: Collection<V>;
  readonly keysOf: (value: V) => readonly string[];
  readonly #keys = new Map<string, Set<string>>();

  constructor(name: string, collection: Collection<V>, keysOf: (value: V) => readonly string[]) {
    this.name = name;
    this.collection = collection;
    this.keysOf = keysOf;
  }

  /** In no particular order: whoever depends on order sorts. */
  get(indexKey: string): readonly V[] {
    const values: V[] = [];
    for (const key of this.#keys.get(indexKey) ?? []) {
      const value = this.collection.get(key);
      if (value !== undefined) values.push(value);
    }
    return values;
  }

  /** Whether any value has the index key. */
  has(indexKey: string): boolean {
    return this.#keys.has(indexKey);
  }

  /** Called by the collection, for every change, before subscribers. */
  update(change: Change<V>): void {
    if (change.old !== undefined) {
      for (const indexKey of this.keysOf(change.old)) this.#remove(indexKey, change.key);
    }
    if (change.new !== undefined) {
      for (const indexKey of this.keysOf(change.new)) this.#add(indexKey, change.key);
    }
  }

  #add(indexKey: string, key: string): void {
    const keys = this.#keys.get(indexKey);
    if (keys === undefined) this.#keys.set(indexKey, new Set([key]));
    else keys.add(key);
  }

  #remove(indexKey: string, key: string): void {
    const keys = this.#keys.get(indexKey);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(indexKey);
  }
}
