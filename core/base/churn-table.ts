/**
 * HOT PATH. Positive integers to values, for tables whose entries come and go by the thousand per second.
 * Not a `Map`: V8 replaces the store of a churning Map every few dozen entries and links each old store to its successor,
 * with its entries. Once one of them has been promoted to the old generation, the chain keeps every later store, and
 * everything it ever referenced, until the next full collection (measured: a quarter of the connection rate).
 */

const MIN_CAPACITY = 16;

export class ChurnTable<V> {
  #keys: Float64Array = new Float64Array(MIN_CAPACITY);
  #values: (V | undefined)[] = Array.from({ length: MIN_CAPACITY });
  #mask = MIN_CAPACITY - 1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: number): V | undefined {
    const slot = this.#slot(key);
    return this.#keys[slot] === key ? this.#values[slot] : undefined;
  }

  set(key: number, value: V): void {
    if ((this.#size + 1) * 2 > this.#mask) this.#grow();
    const slot = this.#slot(key);
    if (this.#keys[slot] !== key) this.#size++;
    this.#keys[slot] = key;
    this.#values[slot] = value;
  }

  delete(key: number): boolean {
    let hole = this.#slot(key);
    if (this.#keys[hole] !== key) return false;
    this.#size--;
    // Entries behind the hole move up when their chain of probes runs through it.
    for (let at = (hole + 1) & this.#mask; this.#keys[at] !== 0; at = (at + 1) & this.#mask) {
      const home = this.#home(this.#keys[at] as number);
      if (((at - home) & this.#mask) < ((at - hole) & this.#mask)) continue;
      this.#keys[hole] = this.#keys[at] as number;
      this.#values[hole] = this.#values[at];
      hole = at;
    }
    this.#keys[hole] = 0;
    this.#values[hole] = undefined;
    return true;
  }

  /** A copy: entries may be added and deleted while it is walked. */
  values(): V[] {
    return this.#values.filter((value) => value !== undefined);
  }

  /** Where `key` is, or the free slot where it would be. */
  #slot(key: number): number {
    let at = this.#home(key);
    while (this.#keys[at] !== 0 && this.#keys[at] !== key) at = (at + 1) & this.#mask;
    return at;
  }

  #home(key: number): number {
    return Math.imul(key, 0x9e37_79b1) & this.#mask;
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    const capacity = keys.length * 2;
    this.#keys = new Float64Array(capacity);
    this.#values = Array.from({ length: capacity });
    this.#mask = capacity - 1;
    for (let i = 0; i < keys.length; i++) {
      if (keys[i] === 0) continue;
      const slot = this.#slot(keys[i] as number);
      this.#keys[slot] = keys[i] as number;
      this.#values[slot] = values[i];
    }
  }
}
