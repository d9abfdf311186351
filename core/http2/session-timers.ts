/** The waits of a session for its peer; each is over when the peer did what it had to, or when the session ends. */
import type { Clock } from "../base/clock.ts";
import { ErrorCode } from "./error-codes.ts";
import { HEAD_TIMEOUT, headTimeout, peerSilent, sessionClosed } from "./http2-errors.ts";
import type { SessionLimits } from "./session-options.ts";

/** How long a peer may take to read our GOAWAY and close. */
const LINGER_MS = 1_000;
const notRunning = (): void => undefined;

type Wait = "settings" | "acknowledgement" | "stall" | "head" | "linger";

/** The session that waits. */
export interface WaitingSession {
  /** GOAWAY, then close. */
  fail(code: ErrorCode, reason: string, error?: Error): void;
  destroy(error: Error): void;
}

export class SessionTimers {
  readonly #clock: Clock;
  readonly #limits: SessionLimits;
  readonly #session: WaitingSession;
  readonly #cancel: Record<Wait, () => void> = {
    settings: notRunning,
    acknowledgement: notRunning,
    stall: notRunning,
    head: notRunning,
    linger: notRunning,
  };
  #watchedBlock = 0;

  /** Waits for the peer's SETTINGS, and for its acknowledgement of ours. */
  constructor(clock: Clock, limits: SessionLimits, session: WaitingSession) {
    this.#clock = clock;
    this.#limits = limits;
    this.#session = session;
    this.#start("settings", limits.settingsTimeoutMs, () =>
      session.destroy(peerSilent("no SETTINGS from the peer")),
    );
    this.#start("acknowledgement", limits.stallTimeoutMs, () =>
      session.fail(ErrorCode.SETTINGS_TIMEOUT, "our SETTINGS were not acknowledged"),
    );
  }

  /** We take nothing from the peer until it has read our answers. */
  awaitReader(): void {
    // What is missing of a header block may lie where we do not read it.
    this.watchBlock(0);
    this.#start("stall", this.#limits.stallTimeoutMs, () =>
      this.#session.destroy(sessionClosed("the peer does not read our answers")),
    );
  }

  /** HOT PATH. What has come of a header block is kept, and nothing else is read before its end. `block`: its number; 0: none is open. */
  watchBlock(block: number): void {
    if (block === this.#watchedBlock) return;
    this.#watchedBlock = block;
    if (block === 0) this.stop("head");
    else
      this.#start("head", this.#limits.headTimeoutMs, () =>
        this.#session.fail(ErrorCode.ENHANCE_YOUR_CALM, HEAD_TIMEOUT, headTimeout()),
      );
  }

  linger(onOver: () => void): void {
    this.#start("linger", LINGER_MS, onOver);
  }

  stop(wait: Wait): void {
    this.#cancel[wait]();
  }

  /** All but the wait for the connection's own end. */
  stopAll(): void {
    this.stop("settings");
    this.stop("acknowledgement");
    this.stop("stall");
    this.stop("head");
  }

  #start(wait: Wait, ms: number, onOver: () => void): void {
    this.#cancel[wait]();
    this.#cancel[wait] = this.#clock.after(ms, onOver);
  }
}
