/**
 * An application that goes away while its other side is dialled ends the dial. Only a dial that takes long is watched:
 * reading an application before there is somewhere to write costs memory, and nearly every dial is over sooner.
 */
import type { Clock } from "#core/base/clock.ts";
import type { Handle } from "#core/handle/handle.ts";
import type { ActiveConnection } from "./active-connection.ts";
import { HeldHandle } from "./held-handle.ts";

const WATCHED_AFTER_MS = 1_000;

export interface DialDeadline {
  readonly ms: number;
  readonly onReached: () => void;
}

export class DialWatch {
  readonly #app: Handle;
  readonly #active: Pick<ActiveConnection, "abort">;
  readonly #clock: Clock;
  #cancel: () => void;
  #held: HeldHandle | undefined;
  #isOver = false;

  /** One timer serves both the watch and the deadline. */
  constructor(app: Handle, active: Pick<ActiveConnection, "abort">, clock: Clock, deadline?: DialDeadline) {
    this.#app = app;
    this.#active = active;
    this.#clock = clock;
    this.#cancel =
      deadline !== undefined && deadline.ms <= WATCHED_AFTER_MS
        ? clock.after(deadline.ms, deadline.onReached)
        : clock.after(WATCHED_AFTER_MS, () => this.#watch(deadline));
  }

  /** The dial is over: the application's side, to be started. */
  end(): Handle {
    this.#isOver = true;
    this.#cancel();
    return this.#held ?? this.#app;
  }

  #watch(deadline: DialDeadline | undefined): void {
    if (deadline !== undefined) {
      this.#cancel = this.#clock.after(deadline.ms - WATCHED_AFTER_MS, deadline.onReached);
    }
    this.#held = new HeldHandle(this.#app, () => {
      if (!this.#isOver) this.#active.abort("reset", "the application reset the connection during the dial");
    });
  }
}
