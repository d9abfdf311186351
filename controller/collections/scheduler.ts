/**
 * Brings derived collections up to date in level order: a collection is computed only when everything it reads is done,
 * so each key is computed once per batch and nobody reads half a batch. Long runs can be cut into slices between keys.
 */

export interface Schedulable {
  readonly level: number;
  readonly isDirty: boolean;
  flush(shouldYield: () => boolean): void;
}

const never = (): boolean => false;

export class Scheduler {
  readonly #collections: Schedulable[] = [];

  add(collection: Schedulable): void {
    this.#collections.push(collection);
    this.#collections.sort((a, b) => a.level - b.level);
  }

  get isIdle(): boolean {
    return this.#collections.every((collection) => !collection.isDirty);
  }

  /** Computes until everything is clean or `shouldYield` says stop. True when everything is clean. */
  run(shouldYield: () => boolean = never): boolean {
    // Again, for what a subscriber may have set in a source meanwhile.
    while (!this.isIdle) {
      for (const collection of this.#collections) {
        if (!collection.isDirty) continue;
        collection.flush(shouldYield);
        if (collection.isDirty || shouldYield()) return this.isIdle;
      }
    }
    return true;
  }
}
