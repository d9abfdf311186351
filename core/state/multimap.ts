/** Many values per key, with identity comparison. Keys without values take no memory. */
export class Multimap<K, V> {
  readonly #values = new Map<K, readonly V[]>();

  get(key: K): readonly V[] {
    return this.#values.get(key) ?? [];
  }

  add(key: K, value: V): void {
    this.#values.set(key, [...this.get(key), value]);
  }

  remove(key: K, value: V): void {
    const left = this.get(key).filter((other) => other !== value);
    if (left.length === 0) this.#values.delete(key);
    else this.#values.set(key, left);
  }
}
