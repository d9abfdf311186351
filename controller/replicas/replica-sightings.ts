/**
 * Pure. Which replicas live, as this one sees them. Nobody's clock is compared with anybody else's: a replica is gone when its Lease has not
 * changed for its own duration, and that is measured by what the same watch has brought of this process's own writes. A watch that hangs
 * therefore lets nobody expire; and what was written before a write of ours that has come back has been seen.
 */
import type { Parsed } from "#core/base/parse-result.ts";
import type { ReplicaObject } from "./replica-object.ts";
import type { ReplicaReport } from "./replica-report.ts";

export interface LiveReplica {
  /** Name of the Lease. */
  readonly name: string;
  /** One process. */
  readonly holder: string;
  readonly isOwn: boolean;
  readonly report: Parsed<ReplicaReport>;
}

interface Sighting {
  readonly object: ReplicaObject;
  /** When its Lease was first seen as it is. */
  readonly sinceMs: number;
}

/** Own writes that have not come back: more would mean that the watch has been silent for many minutes. */
const MAX_SENT = 1_000;

export class ReplicaSightings {
  readonly #holder: string;
  readonly #sent = new Map<string, number>();
  #seen: ReadonlyMap<string, Sighting> = new Map();
  #watchedToMs: number | undefined;

  /** `holder`: this process. */
  constructor(holder: string) {
    this.#holder = holder;
  }

  /** Before a write of this process's Lease: `renewTime` tells it from all others. */
  sent(renewTime: string, nowMs: number): void {
    this.#sent.set(renewTime, nowMs);
    const [oldest] = this.#sent.keys();
    if (this.#sent.size > MAX_SENT && oldest !== undefined) this.#sent.delete(oldest);
  }

  /** All Leases of replicas, as the watch has them now. */
  observe(objects: Iterable<ReplicaObject>, nowMs: number): void {
    const seen = new Map<string, Sighting>();
    for (const object of objects) {
      const { name, uid, resourceVersion } = object.metadata;
      const known = this.#seen.get(name);
      const isSame =
        known?.object.metadata.uid === uid && known.object.metadata.resourceVersion === resourceVersion;
      seen.set(name, isSame ? known : { object, sinceMs: nowMs });
      if (object.holder === this.#holder) this.#cameBack(object.renewTime);
    }
    // A Lease that is deleted ends no process: it serves until it notices, and says good-bye when it ends by itself.
    for (const [name, sighting] of this.#seen)
      if (!seen.has(name) && this.#isLive(sighting)) seen.set(name, sighting);
    this.#seen = seen;
  }

  /** Everything that was written before this moment (monotonic) has been seen; undefined before the first own write has. */
  get watchedToMs(): number | undefined {
    return this.#watchedToMs;
  }

  live(): readonly LiveReplica[] {
    return [...this.#seen.values()]
      .filter((sighting) => this.#isLive(sighting))
      .map(({ object }) => ({
        name: object.metadata.name,
        holder: object.holder,
        isOwn: object.holder === this.#holder,
        report: object.report,
      }));
  }

  #isLive({ object, sinceMs }: Sighting): boolean {
    if (object.holder === "") return false;
    if (object.holder === this.#holder || this.#watchedToMs === undefined) return true;
    return this.#watchedToMs - sinceMs < object.durationMs;
  }

  #cameBack(renewTime: string): void {
    const sentMs = this.#sent.get(renewTime);
    if (sentMs === undefined) return;
    this.#watchedToMs = Math.max(this.#watchedToMs ?? sentMs, sentMs);
    for (const [text, ms] of this.#sent) if (ms <= sentMs) this.#sent.delete(text);
  }
}
