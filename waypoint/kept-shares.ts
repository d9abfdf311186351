/** What may be kept for readers that pause: by all callers together, and half of it by one identity, so that nobody has the others reset. */
import { KeptLimit } from "#core/handle/kept-bytes.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";

const SHARE = 0.5;

export class KeptShares {
  readonly #maxBytes: number;
  readonly #all: KeptLimit;
  /** As many as there are identities that ever called. */
  readonly #byIdentity = new Map<SpiffeId, KeptLimit>();

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#all = new KeptLimit(maxBytes);
  }

  of(identity: SpiffeId): KeptLimit {
    let limit = this.#byIdentity.get(identity);
    if (limit === undefined) {
      limit = new KeptLimit(this.#maxBytes * SHARE, this.#all);
      this.#byIdentity.set(identity, limit);
    }
    return limit;
  }
}
