/**
 * One-to-many and merging: the items of all values of several collections, by their own keys. Where two values give the
 * same key, the one of the earlier collection, then the smaller source key, is taken: never the one that came first.
 */
import { type Change, Collection } from "./collection.ts";
import type { Scheduler } from "./scheduler.ts";

export interface FlattenOptions<O> {
  readonly name: string;
  readonly equal: (a: O, b: O) => boolean;
  readonly from: readonly FlattenSource<O>[];
}

export interface FlattenSource<O> {
  readonly collection: Collection<never>;
  readonly items: (value: never) => Iterable<readonly [string, O]>;
}

/** A source with its types checked against each other. */
export function itemsOf<V, O>(
  collection: Collection<V>,
  items: (value: V) => Iterable<readonly [string, O]>,
): FlattenSource<O> {
  return {
    collection: collection as unknown as Collection<never>,
    items: items as FlattenSource<O>["items"],
  };
}

export class Flattened<O> extends Collection<O> {
  readonly #options: FlattenOptions<O>;
  /** Item key to the claims on it: rank (collection number and source key) to item. */
  readonly #claims = new Map<string, Map<string, O>>();
  readonly #dirty = new Set<string>();

  constructor(options: FlattenOptions<O>, scheduler: Scheduler) {
    super(options.name, 1 + Math.max(...options.from.map((source) => source.collection.level)));
    this.#options = options;
    for (const [rank, source] of options.from.entries()) {
      source.collection.subscribe((changes: readonly Change<never>[]) => {
        for (const change of changes) this.#change(rank, source, change);
      });
      for (const [key, value] of source.collection.entries()) {
        this.#change(rank, source, { key, old: undefined, new: value });
      }
    }
    scheduler.add(this);
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  flush(shouldYield: () => boolean): void {
    const updates: [string, O | undefined][] = [];
    for (const key of this.#dirty) {
      this.#dirty.delete(key);
      const winner = this.#winner(key);
      const old = this.get(key);
      const same = old !== undefined && winner !== undefined && this.#options.equal(old, winner);
      if (!same) updates.push([key, winner]);
      if (shouldYield()) break;
    }
    this.commit(updates);
  }

  #change(rank: number, source: FlattenSource<O>, change: Change<never>): void {
    const claim = `${String(rank).padStart(2, "0")}/${change.key}`;
    if (change.old !== undefined) {
      for (const [key] of source.items(change.old)) {
        const claims = this.#claims.get(key);
        claims?.delete(claim);
        if (claims?.size === 0) this.#claims.delete(key);
        this.#dirty.add(key);
      }
    }
    if (change.new === undefined) return;
    for (const [key, item] of source.items(change.new)) {
      const claims = this.#claims.get(key) ?? new Map<string, O>();
      this.#claims.set(key, claims.set(claim, item));
      this.#dirty.add(key);
    }
  }

  #winner(key: string): O | undefined {
    let best: string | undefined;
    const claims = this.#claims.get(key);
    for (const claim of claims?.keys() ?? []) if (best === undefined || claim < best) best = claim;
    return best === undefined ? undefined : claims?.get(best);
  }
}
