/** What clients have refused (NACK), by resource name and version: for the condition of the object behind it. */
import { Lru } from "#core/base/lru.ts";
import type { EncodedResource } from "../encoded-resource.ts";

const MAX_ENTRIES = 1_000;
const MAX_REASON = 1_024;

export class Refusals {
  readonly #reasons = new Lru<string, string>(MAX_ENTRIES);

  note(resource: Pick<EncodedResource, "name" | "version">, reason: string): void {
    this.#reasons.set(`${resource.name} ${resource.version}`, reason.slice(0, MAX_REASON));
  }

  /** Why a client refused this very version; undefined when none has. */
  reasonFor(resource: Pick<EncodedResource, "name" | "version"> | undefined): string | undefined {
    return resource === undefined ? undefined : this.#reasons.get(`${resource.name} ${resource.version}`);
  }
}
