/** The waits of a session for its peer; each is over when the peer did what it had to, or when the session ends. */
import type { Clock } from "../base/clock.ts";

const notRunning = (): void => undefined;

type Wait = "settings" | "acknowledgement" | "stall" | "linger";

export class SessionTimers {
  readonly #clock: Clock;
  readonly #cancel: Record<Wait, () => void> = {
    settings: notRunning,
    acknowledgement: notRunning,
    stall: notRunning,
    linger: notRunning,
  };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(wait: Wait, ms: number, onOver: () => void): void {
    this.#cancel[wait]();
    this.#cancel[wait] = this.#clock.after(ms, onOver);
  }

  stop(wait: Wait): void {
    this.#cancel[wait]();
  }

  /** All but the wait for the connection's own end. */
  stopAll(): void {
    this.stop("settings");
    this.stop("acknowledgement");
    this.stop("stall");
  }
}
