/**
 * Who has read what: for every (collection or index, key) the dependents that read it in their last computation.
 * A dependent may read one index key through several filters; it is affected when ANY of them lets the value through.
 * Everything about a dependent that is gone is gone too.
 */
import type { Change, Collection } from "./collection.ts";
import type { KeyIndex } from "./key-index.ts";

/** Judges a value of the index it was given for. */
export type Filter = (value: never) => boolean;
type Readable = Collection<never> | KeyIndex<never>;

interface Read {
  readonly from: Readable;
  readonly key: string;
}

/** No filter: any change of a value under the key affects the dependent. */
const ANY: readonly Filter[] = [];

export class Dependencies {
  readonly #readers = new Map<Readable, Map<string, Map<string, readonly Filter[]>>>();
  readonly #reads = new Map<string, Read[]>();

  /** Forgets what `dependent` read. */
  forget(dependent: string): void {
    for (const { from, key } of this.#reads.get(dependent) ?? []) {
      const byKey = this.#readers.get(from);
      const dependents = byKey?.get(key);
      dependents?.delete(dependent);
      if (dependents?.size === 0) byKey?.delete(key);
    }
    this.#reads.delete(dependent);
  }

  record(dependent: string, from: Readable, key: string, filter: Filter | undefined): void {
    const byKey = getOrMake(this.#readers, from, () => new Map<string, Map<string, readonly Filter[]>>());
    const dependents = getOrMake(byKey, key, () => new Map<string, readonly Filter[]>());
    const known = dependents.get(dependent);
    if (known === undefined) {
      dependents.set(dependent, filter === undefined ? ANY : [filter]);
      getOrMake(this.#reads, dependent, () => []).push({ from, key });
    } else if (known !== ANY) {
      dependents.set(dependent, filter === undefined ? ANY : [...known, filter]);
    }
  }

  /** Calls `affected` for each dependent that read something that these changes of `collection` touch. */
  affectedBy<V>(
    collection: Collection<V>,
    changes: readonly Change<V>[],
    affected: (key: string) => void,
  ): void {
    const direct = this.#readers.get(collection as unknown as Collection<never>);
    if (direct !== undefined) {
      for (const { key } of changes)
        for (const dependent of direct.get(key)?.keys() ?? []) affected(dependent);
    }
    for (const index of collection.indexes()) {
      const byKey = this.#readers.get(index as unknown as KeyIndex<never>);
      if (byKey === undefined) continue;
      for (const change of changes) {
        touch(index, byKey, change.old, affected);
        touch(index, byKey, change.new, affected);
      }
    }
  }

  /** `collection or index: key` of everything the dependent read. */
  describe(dependent: string): readonly string[] {
    return (this.#reads.get(dependent) ?? []).map(({ from, key }) => `${from.name}: ${key}`);
  }

  /** Number of dependents and of recorded keys, for the leak test and debugging. */
  size(): { readonly dependents: number; readonly keys: number } {
    let keys = 0;
    for (const byKey of this.#readers.values()) keys += byKey.size;
    return { dependents: this.#reads.size, keys };
  }
}

function touch<V>(
  index: KeyIndex<V>,
  byKey: ReadonlyMap<string, ReadonlyMap<string, readonly Filter[]>>,
  value: V | undefined,
  affected: (key: string) => void,
): void {
  if (value === undefined) return;
  for (const indexKey of index.keysOf(value)) {
    for (const [dependent, filters] of byKey.get(indexKey) ?? []) {
      if (filters === ANY || filters.some((filter) => filter(value as never))) affected(dependent);
    }
  }
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
