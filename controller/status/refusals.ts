/** What clients have refused (NACK), by resource name and version: for the condition of the object behind it. */
import type { EncodedResource } from "../encoded-resource.ts";

const MAX_ENTRIES = 1_000;
const MAX_REASON = 1_024;

type Versioned = Pick<EncodedResource, "name" | "version">;

export interface RefusedVersion extends Versioned {
  readonly reason: string;
}

export class Refusals {
  /** The oldest first. */
  readonly #entries = new Map<string, RefusedVersion>();

  note({ name, version }: Versioned, reason: string): void {
    const key = `${name} ${version}`;
    this.#entries.delete(key);
    this.#entries.set(key, { name, version, reason: reason.slice(0, MAX_REASON) });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > MAX_ENTRIES && oldest !== undefined) this.#entries.delete(oldest);
  }

  /** Why a client refused this very version; undefined when none has. */
  reasonFor(resource: Versioned | undefined): string | undefined {
    return resource === undefined
      ? undefined
      : this.#entries.get(`${resource.name} ${resource.version}`)?.reason;
  }

  all(): readonly RefusedVersion[] {
    return [...this.#entries.values()];
  }
}
