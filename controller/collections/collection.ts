/**
 * A set of values by key that tells of its changes in batches. Sources are `StaticCollection`; everything else is
 * derived from them (`derive.ts`). One thread: a batch is applied whole before any subscriber hears of it.
 */
import { KeyIndex } from "./key-index.ts";

export interface Change<V> {
  readonly key: string;
  readonly old: V | undefined;
  /** Undefined when the key is gone. */
  readonly new: V | undefined;
}

export type ChangeListener<V> = (changes: readonly Change<V>[]) => void;

export abstract class Collection<V> {
  /** For `debug.ts` and logs. */
  readonly name: string;
  /** 0 for sources; one above everything it reads for derived ones. */
  readonly level: number;
  readonly #values = new Map<string, V>();
  readonly #indexes: KeyIndex<V>[] = [];
  readonly #listeners: ChangeListener<V>[] = [];

  constructor(name: string, level: number) {
    this.name = name;
    this.level = level;
  }

  get size(): number {
    return this.#values.size;
  }

  get(key: string): V | undefined {
    return this.#values.get(key);
  }

  entries(): IterableIterator<[string, V]> {
    return this.#values.entries();
  }

  values(): IterableIterator<V> {
    return this.#values.values();
  }

  /** A secondary index; `keysOf` must be pure. Make indexes before the first change where possible. */
  index(name: string, keysOf: (value: V) => readonly string[]): KeyIndex<V> {
    const index = new KeyIndex<V>(name, this, keysOf);
    for (const [key, value] of this.#values) index.update({ key, old: undefined, new: value });
    this.#indexes.push(index);
    return index;
  }

  indexes(): readonly KeyIndex<V>[] {
    return this.#indexes;
  }

  /** Hears of later changes, after indexes are up to date. */
  subscribe(listener: ChangeListener<V>): void {
    this.#listeners.push(listener);
  }

  /** Sets or deletes (undefined) in one batch, then tells subscribers. For subclasses. */
  protected commit(updates: Iterable<readonly [string, V | undefined]>): void {
    const changes: Change<V>[] = [];
    for (const [key, value] of updates) {
      const old = this.#values.get(key);
      if (old === undefined && value === undefined) continue;
      if (value === undefined) this.#values.delete(key);
      else this.#values.set(key, value);
      changes.push({ key, old, new: value });
    }
    if (changes.length === 0) return;
    for (const index of this.#indexes) for (const change of changes) index.update(change);
    for (const listener of this.#listeners) listener(changes);
  }
}
