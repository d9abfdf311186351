/** How long a caller may take. One timer per connection; what it means when it expires depends on what is waited for then. */
import type { Clock } from "../base/clock.ts";
import type { Http1Timeouts } from "./http1-limits.ts";
import { Watchdog } from "./watchdog.ts";

export type Awaited =
  | "request"
  /** The rest of a head. */
  | "head"
  /** The rest of a body that somebody reads. */
  | "body"
  /** The caller to read what was written. */
  | "reader"
  /** The caller to close. */
  | "close"
  /** Our own side. */
  | "nothing";

export interface PatienceOwner {
  readonly awaited: Awaited;
  onTimeout(awaited: Exclude<Awaited, "nothing">): void;
}

export class Patience {
  readonly #owner: PatienceOwner;
  readonly #timeouts: Http1Timeouts;
  readonly #watchdog: Watchdog;
  /** Signs of life, and how many there were when the timer expired last. */
  #signs = 0;
  #signsSeen = -1;

  constructor(
    owner: PatienceOwner,
    timing: { readonly clock: Clock; readonly timeouts: Http1Timeouts },
    onBug: (cause: unknown) => void,
  ) {
    this.#owner = owner;
    this.#timeouts = timing.timeouts;
    this.#watchdog = new Watchdog(timing.clock, () => this.#onExpired(), onBug);
  }

  /** The caller sent or read something. */
  sign(): void {
    this.#signs++;
  }

  /** From now on, for a whole request, head, or close. Bodies are watched without being told: they are when the timer expires. */
  expect(what: "request" | "head" | "close"): void {
    const { idleMs, headMs, lingerMs } = this.#timeouts;
    this.#watchdog.set(what === "request" ? idleMs : what === "head" ? headMs : lingerMs);
  }

  /** As long as the last answer is on its way. */
  expectReader(): void {
    this.#watchdog.set(this.#timeouts.progressMs);
  }

  /** A request begins: what was seen before does not count. */
  restart(): void {
    this.#signsSeen = -1;
  }

  stop(): void {
    this.#watchdog.stop();
  }

  #onExpired(): void {
    const { awaited } = this.#owner;
    const hasDeadline = awaited === "request" || awaited === "head" || awaited === "close";
    const isSilent = awaited !== "nothing" && this.#signs === this.#signsSeen;
    if (awaited !== "nothing" && (hasDeadline || isSilent)) {
      this.#owner.onTimeout(awaited);
      return;
    }
    this.#signsSeen = this.#signs;
    this.#watchdog.set(this.#timeouts.progressMs);
  }
}
