/** Sources, graph and publication wired together: what every input (informers or files) feeds. */
import type { EnrolmentOptions } from "#core/authz/enrolment.ts";
import type { Clock } from "#core/base/clock.ts";
import { Scheduler } from "./collections/scheduler.ts";
import { GraphRunner } from "./graph-runner.ts";
import { keepJoining } from "./waypoints/binding/joining-pods.ts";
import { MeshIndex } from "./mesh-index.ts";
import type { DebounceOptions } from "./push/debounce.ts";
import { PublishedState } from "./push/published-state.ts";
import { Publisher } from "./push/publisher.ts";
import { Sources } from "./sources.ts";
import type { MeshConfig } from "./translate/mesh-config.ts";

export interface MeshGraphOptions {
  readonly meshDefaults: MeshConfig;
  readonly enrolment: EnrolmentOptions;
  readonly debounce: DebounceOptions;
  readonly clock: Clock;
  /** Until older connections past a waypoint are surely closed at their sources. */
  readonly drainMs: number;
  /** Whether all inputs are complete; nothing is published before. */
  readonly isComplete: () => boolean;
  /** Something was published. `ageMs`: since its oldest change. */
  readonly onPublish: (ageMs: number) => void;
  /** Everything derived is up to date; called after every change of inputs, published or not. */
  readonly onIdle: () => void;
}

export class MeshGraph {
  readonly sources: Sources = new Sources();
  readonly published: PublishedState = new PublishedState();
  readonly index: MeshIndex;
  readonly #scheduler: Scheduler;
  readonly #runner: GraphRunner;
  readonly #publisher: Publisher;

  constructor(options: MeshGraphOptions) {
    const { clock, isComplete, onPublish } = options;
    const scheduler = new Scheduler();
    this.#scheduler = scheduler;
    this.index = new MeshIndex(this.sources, options.meshDefaults, scheduler, options.enrolment);
    const { joining, pods } = this.index.waypoints;
    const isPublished = (): boolean => this.isPublished;
    const onChange = (): void => this.poke();
    keepJoining({ joining, pods, clock, isPublished, drainMs: options.drainMs, onChange });
    this.#publisher = new Publisher(
      {
        addresses: this.index.addresses,
        authorizations: this.index.authorizations,
        waypoints: this.index.waypointConfigs,
        published: this.published,
        clock,
        isConsistent: () => scheduler.isIdle,
        onPublish: (oldestMs) => onPublish(Number.isFinite(oldestMs) ? clock.monotonicMs() - oldestMs : 0),
      },
      options.debounce,
    );
    this.#runner = new GraphRunner(scheduler, () => {
      if (isComplete()) this.#publisher.enable();
      this.#publisher.graphIsIdle();
      options.onIdle();
    });
  }

  /** True once a complete state has been published; stays true. */
  get isPublished(): boolean {
    return this.#publisher.enabled;
  }

  /**
   * A mark of everything that follows from inputs as they are now; undefined while that is being computed. What was noted
   * up to it is public once `isPublishedTo` says so.
   */
  noted(): number | undefined {
    return this.#scheduler.isIdle ? this.#publisher.noted : undefined;
  }

  isPublishedTo(noted: number): boolean {
    return this.#publisher.publishedTo >= noted;
  }

  /** Inputs have changed, or have become complete. */
  poke(): void {
    this.#runner.poke();
  }

  stop(): void {
    this.#publisher.stop();
  }
}
