/**
 * Moves changes from the graph to `PublishedState`, lane by lane. A batch with a changed policy takes everything that
 * is pending along: a workload published without the policy it names would be open, or refused, for a moment.
 */
import type { Clock } from "#core/base/clock.ts";
import type { Change, Collection } from "../collections/collection.ts";
import type { EncodedResource } from "../encoded-resource.ts";
import { type DebounceOptions, dueAtMs, type Lane, type LaneTimes } from "./debounce.ts";
import { type PublishedState, RESOURCE_TYPES, type ResourceType } from "./published-state.ts";

export interface PublisherDeps {
  readonly addresses: Collection<EncodedResource>;
  readonly authorizations: Collection<EncodedResource>;
  readonly waypoints: Collection<EncodedResource>;
  readonly published: PublishedState;
  readonly clock: Clock;
  /** Whether the graph is up to date, so that its state may be read. */
  readonly isConsistent: () => boolean;
  /** Something was published: push it. Its duration steers the address lane. */
  readonly onPublish: (oldestChangeMs: number) => void;
}

interface PendingLane {
  times: LaneTimes | undefined;
  /** Count of changes noted before the first that waits here. */
  since: number;
  /** By type and name: names of two types may be equal. */
  readonly names: Map<string, { readonly type: ResourceType; readonly name: string }>;
}

export class Publisher {
  readonly #deps: PublisherDeps;
  readonly #options: DebounceOptions;
  readonly #lanes: Readonly<Record<Lane, PendingLane>> = {
    addresses: { times: undefined, since: 0, names: new Map() },
    config: { times: undefined, since: 0, names: new Map() },
  };
  #enabled = false;
  #noted = 0;
  #policyPending = false;
  #lastFanOutMs = 0;
  #cancelTimer: () => void = () => undefined;

  constructor(deps: PublisherDeps, options: DebounceOptions) {
    this.#deps = deps;
    this.#options = options;
    deps.addresses.subscribe((changes) => this.#note("address", changes));
    deps.authorizations.subscribe((changes) => this.#note("authorization", changes));
    deps.waypoints.subscribe((changes) => this.#note("waypoint", changes));
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  /** How many changes the graph has told of. */
  get noted(): number {
    return this.#noted;
  }

  /** Of those, all up to this one have been published. */
  get publishedTo(): number {
    if (!this.#enabled) return -1;
    const waiting = Object.values(this.#lanes).filter((lane) => lane.times !== undefined);
    return Math.min(this.#noted, ...waiting.map(({ since }) => since));
  }

  /** Publishes everything gathered so far; from now on changes follow by themselves. Once, when all inputs are complete. */
  enable(): void {
    if (this.#enabled) return;
    this.#enabled = true;
    this.#flush(["addresses", "config"]);
  }

  /** The graph is consistent again: publishes what is due. */
  graphIsIdle(): void {
    if (this.#enabled) this.#run();
  }

  stop(): void {
    this.#cancelTimer();
    this.#enabled = false;
  }

  #note(type: ResourceType, changes: readonly Change<EncodedResource>[]): void {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const change of changes) {
      const kind = (change.new ?? change.old)?.kind;
      // A waypoint is told of a policy before ztunnels are, and of a pod when they are.
      const hurries = kind === "workload" || kind === "waypoint";
      const lane = this.#lanes[hurries ? "addresses" : "config"];
      lane.names.set(`${type} ${change.key}`, { type, name: change.key });
      if (lane.times === undefined) lane.since = this.#noted;
      this.#noted++;
      lane.times = { firstMs: lane.times?.firstMs ?? nowMs, lastMs: nowMs };
      if (type === "authorization") this.#policyPending = true;
    }
  }

  #run(): void {
    this.#cancelTimer();
    if (!this.#deps.isConsistent()) return;
    const nowMs = this.#deps.clock.monotonicMs();
    const waiting = (["addresses", "config"] as const).flatMap((lane) => {
      const { times } = this.#lanes[lane];
      return times === undefined
        ? []
        : [{ lane, dueMs: dueAtMs(lane, times, this.#options, this.#lastFanOutMs) }];
    });
    const due = waiting.filter(({ dueMs }) => dueMs <= nowMs).map(({ lane }) => lane);
    if (due.length > 0) this.#flush(this.#policyPending ? ["addresses", "config"] : due);
    const next = waiting
      .filter(({ lane }) => this.#lanes[lane].times !== undefined)
      .map(({ dueMs }) => dueMs);
    if (next.length === 0) return;
    // A millisecond more than the difference, since timers may fire early by a fraction.
    this.#cancelTimer = this.#deps.clock.after(Math.ceil(Math.min(...next) - nowMs) + 1, () => this.#run());
  }

  #flush(lanes: readonly Lane[]): void {
    const updates = {
      address: new Map<string, EncodedResource | undefined>(),
      authorization: new Map<string, EncodedResource | undefined>(),
      waypoint: new Map<string, EncodedResource | undefined>(),
    };
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const lane of lanes) {
      const pending = this.#lanes[lane];
      for (const { type, name } of pending.names.values()) updates[type].set(name, this.#current(type, name));
      oldestMs = Math.min(oldestMs, pending.times?.firstMs ?? oldestMs);
      pending.names.clear();
      pending.times = undefined;
    }
    if (lanes.includes("config")) this.#policyPending = false;
    for (const type of RESOURCE_TYPES) this.#deps.published.publish(type, updates[type]);
    const startMs = this.#deps.clock.monotonicMs();
    this.#deps.onPublish(oldestMs);
    this.#lastFanOutMs = this.#deps.clock.monotonicMs() - startMs;
  }

  #current(type: ResourceType, name: string): EncodedResource | undefined {
    const { addresses, authorizations, waypoints } = this.#deps;
    return { address: addresses, authorization: authorizations, waypoint: waypoints }[type].get(name);
  }
}
