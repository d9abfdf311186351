/**
 * A collection computed from another, key by key, by a pure function that may read further collections through its
 * context. What it reads is recorded, so that exactly the affected keys are computed again; an equal result stops there.
 */
import { type Change, Collection } from "./collection.ts";
import { Dependencies } from "./dependencies.ts";
import type { KeyIndex } from "./key-index.ts";
import type { Scheduler } from "./scheduler.ts";

/** Tracked reads. Valid only during the call that received it. */
export interface ReadContext {
  get<T>(collection: Collection<T>, key: string): T | undefined;
  /** Values under an index key, narrowed by `filter` (pure). In no particular order. */
  fetch<T>(index: KeyIndex<T>, key: string, filter?: (value: T) => boolean): readonly T[];
}

export interface DeriveOptions<I, O> {
  readonly name: string;
  readonly source: Collection<I>;
  /** Everything `compute` may read besides the source. */
  readonly reads: readonly Collection<never>[];
  /** Pure; undefined leaves the key out. */
  readonly compute: (read: ReadContext, value: I, key: string) => O | undefined;
  /** Whether two results are the same to everyone downstream. */
  readonly equal: (a: O, b: O) => boolean;
}

export class Derived<I, O> extends Collection<O> {
  readonly #options: DeriveOptions<I, O>;
  readonly #dependencies = new Dependencies();
  readonly #dirty = new Set<string>();
  readonly #levels: ReadonlySet<unknown>;
  #computing = "";
  #computations = 0;

  constructor(options: DeriveOptions<I, O>, scheduler: Scheduler) {
    super(options.name, 1 + Math.max(options.source.level, ...options.reads.map((c) => c.level)));
    this.#options = options;
    this.#levels = new Set<unknown>(options.reads);
    options.source.subscribe((changes) => {
      for (const { key } of changes) this.#dirty.add(key);
    });
    for (const [key] of options.source.entries()) this.#dirty.add(key);
    for (const other of new Set(options.reads)) {
      other.subscribe((changes: readonly Change<never>[]) => {
        this.#dependencies.affectedBy(other, changes, (key) => this.#dirty.add(key));
      });
    }
    scheduler.add(this);
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** How often `compute` ran. */
  get computations(): number {
    return this.#computations;
  }

  /** Computes dirty keys until done or until `shouldYield` (asked between keys) says stop; then tells of the changes. */
  flush(shouldYield: () => boolean): void {
    const updates: [string, O | undefined][] = [];
    for (const key of this.#dirty) {
      this.#dirty.delete(key);
      const old = this.get(key);
      const result = this.#compute(key);
      const same = old !== undefined && result !== undefined && this.#options.equal(old, result);
      if (!same) updates.push([key, result]);
      if (shouldYield()) break;
    }
    this.commit(updates);
  }

  /** What a key was computed from. */
  describe(key: string): readonly string[] {
    return this.#dependencies.describe(key);
  }

  dependencySize(): { readonly dependents: number; readonly keys: number } {
    return this.#dependencies.size();
  }

  #compute(key: string): O | undefined {
    this.#dependencies.forget(key);
    const value = this.#options.source.get(key);
    if (value === undefined) return undefined;
    this.#computations++;
    this.#computing = key;
    return this.#options.compute(this.#context, value, key);
  }

  readonly #context: ReadContext = {
    get: (collection, key) => {
      this.#declared(collection);
      this.#dependencies.record(this.#computing, collection as unknown as Collection<never>, key, undefined);
      return collection.get(key);
    },
    fetch: (index, key, filter) => {
      this.#declared(index.collection);
      this.#dependencies.record(this.#computing, index as unknown as KeyIndex<never>, key, filter);
      const values = index.get(key);
      return filter === undefined ? values : values.filter(filter);
    },
  };

  /** A collection that is read without being declared would never wake this one up. */
  #declared(collection: unknown): void {
    if (!this.#levels.has(collection)) throw new Error(`${this.name} reads a collection it did not declare`);
  }
}
