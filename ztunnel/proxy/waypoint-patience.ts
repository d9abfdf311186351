/**
 * How long one connection puts up with a waypoint that is not there: until a deadline, with pauses that grow, and only if there is
 * room for one more that waits. Nothing of the application's was sent meanwhile.
 */
import { type Backoff, createBackoff } from "#core/base/backoff.ts";
import type { Clock } from "#core/base/clock.ts";
import type { PodUid } from "#core/model/ids.ts";
import type { MeshState } from "#core/state/mesh-state.ts";
import type { WaitingRoom } from "./waiting-room.ts";

const PAUSES = { firstMs: 50, maxMs: 1_000 } as const;

export interface PatienceDeps {
  readonly state: MeshState;
  readonly clock: Clock;
  readonly room: WaitingRoom;
  readonly random: () => number;
  readonly waitMs: number;
}

export class WaypointPatience {
  readonly #deps: PatienceDeps;
  readonly #pod: PodUid;
  readonly #controller = new AbortController();
  readonly #parents: readonly AbortSignal[];
  readonly #backoff: Backoff;
  readonly #cancelDeadline: () => void;
  #leave: (() => void) | undefined;
  /** The deadline is over. */
  isOver = false;

  /** `parents` end the wait as well. `end` must be called. */
  constructor(deps: PatienceDeps, pod: PodUid, parents: readonly AbortSignal[]) {
    this.#deps = deps;
    this.#pod = pod;
    this.#parents = parents;
    this.#backoff = createBackoff(PAUSES, deps.random);
    this.#cancelDeadline = deps.clock.after(deps.waitMs, () => {
      this.isOver = true;
      this.#abort();
    });
    for (const parent of parents) {
      if (parent.aborted) this.#abort();
      else parent.addEventListener("abort", this.#abort, { once: true });
    }
  }

  /** Fires at the deadline and with each parent: ends dials too. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** False: too many wait already. */
  enter(): boolean {
    this.#leave ??= this.#deps.room.tryEnter(this.#pod);
    return this.#leave !== undefined;
  }

  /** Until the mesh state changes. */
  async change(): Promise<void> {
    if (this.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const onAbort = (): void => resolve();
    const unsubscribe = this.#deps.state.subscribe(onAbort);
    this.signal.addEventListener("abort", onAbort, { once: true });
    await promise;
    unsubscribe();
    this.signal.removeEventListener("abort", onAbort);
  }

  /** Before the next dial. */
  async pause(): Promise<void> {
    await this.#deps.clock.sleep(this.#backoff.next(), this.signal).catch(() => undefined);
  }

  end(): void {
    this.#cancelDeadline();
    this.#leave?.();
    for (const parent of this.#parents) parent.removeEventListener("abort", this.#abort);
  }

  readonly #abort = (): void => this.#controller.abort(new DOMException("the wait is over", "AbortError"));
}
