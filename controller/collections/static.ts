/** A collection that is set from outside: the sources of the graph, and test inputs. */
import { Collection } from "./collection.ts";

export class StaticCollection<V> extends Collection<V> {
  constructor(name: string) {
    super(name, 0);
  }

  /** One batch; undefined deletes. Later entries of one key win. */
  apply(updates: Iterable<readonly [string, V | undefined]>): void {
    this.commit(new Map(updates));
  }
}
