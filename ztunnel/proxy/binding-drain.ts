/**
 * Connections that were made before a waypoint was bound to their destination: they are told an end as soon as they are idle, so
 * that the application's next one goes through the waypoint, and reset at the deadline, before destinations refuse them.
 */
import type { Clock } from "#core/base/clock.ts";
import type { Reason } from "./response-flag.ts";

/** What a drain needs of a connection. */
export interface DrainableConnection {
  /** Bytes so far, both directions together; undefined while none can flow. */
  readonly movedBytes: number | undefined;
  /** Everything has been passed on, and what the client asked for is answered. */
  readonly isAtRest: boolean;
  /** Ends both sides in order. */
  retire(reason: Reason, error: string): void;
  abort(reason: Reason, error: string): void;
}

export interface DrainLimits {
  /** No bytes for so long, at rest: idle. */
  readonly idleMs: number;
  /** For so long before the deadline a moment at rest is enough: an end between two requests is better than a reset within one. */
  readonly lastCallMs: number;
  readonly deadlineMs: number;
}

export const DRAIN_LIMITS: DrainLimits = { idleMs: 200, lastCallMs: 1_000, deadlineMs: 5_000 };
/** Moments at rest are short between the requests of a busy caller; looking at very many connections takes longer than they are. */
const TICK = { shortMs: 10, longMs: 50, longFrom: 1_000 } as const;

interface Draining {
  readonly sinceMs: number;
  movedBytes: number | undefined;
  quietSinceMs: number;
  isRetired: boolean;
}

export class BindingDrain<T extends DrainableConnection> {
  readonly #clock: Clock;
  readonly #isBound: (connection: T) => boolean;
  readonly #limits: DrainLimits;
  readonly #draining = new Map<T, Draining>();
  #cancelTick: (() => void) | undefined;

  /** `isBound` is asked again before anything is ended: a binding may be taken back. */
  constructor(clock: Clock, isBound: (connection: T) => boolean, limits: DrainLimits = DRAIN_LIMITS) {
    this.#clock = clock;
    this.#isBound = isBound;
    this.#limits = limits;
  }

  get size(): number {
    return this.#draining.size;
  }

  add(connection: T): void {
    if (this.#draining.has(connection)) return;
    const nowMs = this.#clock.monotonicMs();
    const { movedBytes } = connection;
    this.#draining.set(connection, { sinceMs: nowMs, movedBytes, quietSinceMs: nowMs, isRetired: false });
    this.#cancelTick ??= this.#clock.after(this.#tickMs(), this.#tick);
  }

  /** It has ended, or is not bound any more. One that was told its end is let go of. */
  remove(connection: T): void {
    this.#draining.delete(connection);
  }

  stop(): void {
    this.#draining.clear();
    this.#cancelTick?.();
    this.#cancelTick = undefined;
  }

  readonly #tick = (): void => {
    const nowMs = this.#clock.monotonicMs();
    for (const [connection, draining] of this.#draining) this.#look(connection, draining, nowMs);
    this.#cancelTick = this.#draining.size === 0 ? undefined : this.#clock.after(this.#tickMs(), this.#tick);
  };

  #tickMs(): number {
    return this.#draining.size < TICK.longFrom ? TICK.shortMs : TICK.longMs;
  }

  #look(connection: T, draining: Draining, nowMs: number): void {
    const { idleMs, lastCallMs, deadlineMs } = this.#limits;
    if (nowMs - draining.sinceMs >= deadlineMs) {
      this.#draining.delete(connection);
      if (draining.isRetired || this.#isBound(connection)) {
        connection.abort("moved-to-waypoint", `bound to a waypoint, and not ended within ${deadlineMs} ms`);
      }
      return;
    }
    if (draining.isRetired) return;
    const { movedBytes, isAtRest } = connection;
    if (movedBytes !== draining.movedBytes || movedBytes === undefined || !isAtRest) {
      draining.movedBytes = movedBytes;
      draining.quietSinceMs = nowMs;
    }
    const isLastCall = nowMs - draining.sinceMs >= deadlineMs - lastCallMs;
    const isIdle = nowMs - draining.quietSinceMs >= idleMs;
    if (!(isIdle || (isLastCall && isAtRest))) return;
    if (!this.#isBound(connection)) {
      this.#draining.delete(connection);
      return;
    }
    draining.isRetired = true;
    connection.retire("moved-to-waypoint", "bound to a waypoint: the next connection goes through it");
  }
}
