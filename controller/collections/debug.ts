/** What a graph of collections holds and why: for the debug endpoint. Never called on a hot path. */
import type { Collection } from "./collection.ts";
import { Derived } from "./derive.ts";

export interface CollectionDump {
  readonly name: string;
  readonly level: number;
  readonly size: number;
  readonly computations?: number;
}

export function describeCollections(collections: readonly Collection<never>[]): readonly CollectionDump[] {
  return collections.map((collection) => ({
    name: collection.name,
    level: collection.level,
    size: collection.size,
    ...(collection instanceof Derived && { computations: collection.computations }),
  }));
}

/** What one key of a derived collection was computed from. */
export function describeKey(collection: Collection<never>, key: string): readonly string[] {
  return collection instanceof Derived ? collection.describe(key) : [];
}
