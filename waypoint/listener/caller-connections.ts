/** The connections of callers that are open; so many, and half of them for one identity, that nobody keeps the others out or takes all the memory. */
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { FairShare } from "../fair-share.ts";
import type { CallerConnection } from "./caller-connection.ts";

export class CallerConnections implements Iterable<CallerConnection> {
  readonly #open = new Set<CallerConnection>();
  readonly #share: FairShare<SpiffeId>;

  constructor(maxConnections: number) {
    this.#share = new FairShare(maxConnections);
  }

  /** Whether there is room for one more of `identity`. */
  hasRoom(identity: SpiffeId): boolean {
    return this.#share.roomFor(identity) >= 1;
  }

  has(connection: CallerConnection): boolean {
    return this.#open.has(connection);
  }

  add(connection: CallerConnection): void {
    if (this.#open.has(connection)) return;
    this.#open.add(connection);
    this.#share.add(connection.identity);
  }

  delete(connection: CallerConnection): void {
    if (this.#open.delete(connection)) this.#share.remove(connection.identity);
  }

  [Symbol.iterator](): IterableIterator<CallerConnection> {
    return this.#open.values();
  }
}
