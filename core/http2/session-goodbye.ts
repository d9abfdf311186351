/**
 * How a session says that it takes no new streams. A server first only announces it, and names its last stream when the
 * peer must have heard it, so that requests under way are served (RFC 9113 6.8).
 */
import type { Clock } from "../base/clock.ts";
import { ErrorCode } from "./error-codes.ts";
import { FrameType } from "./frame-types.ts";
import { goawayPayload } from "./goaway.ts";
import type { SessionCore } from "./session-core.ts";

export const MAX_STREAM_ID = 0x7fff_ffff;
/** Bound of the wait for the answer to the first GOAWAY. */
const NOTICE_MS = 1_000;
const NOTICE_PING: Uint8Array = Buffer.from("drain...", "latin1");

export class Goodbye {
  readonly #core: SessionCore;
  readonly #clock: Clock;
  readonly #onNoticeOver: () => void;
  #cancelTimer: () => void = () => undefined;
  /** The last stream was named. */
  isSaid = false;

  /** `onNoticeOver` is called when the peer has heard the notice, or had the time to. */
  constructor(core: SessionCore, clock: Clock, onNoticeOver: () => void) {
    this.#core = core;
    this.#clock = clock;
    this.#onNoticeOver = onNoticeOver;
  }

  /** Our streams are our own to open or not: only a server's peer needs the notice. */
  giveNotice(): void {
    const { role, writer } = this.#core;
    if (role === "client") {
      this.#onNoticeOver();
      return;
    }
    writer.control(FrameType.GOAWAY, 0, 0, goawayPayload(MAX_STREAM_ID, ErrorCode.NO_ERROR, ""));
    writer.control(FrameType.PING, 0, 0, NOTICE_PING);
    this.#cancelTimer = this.#clock.after(NOTICE_MS, () => this.#onNoticeOver());
  }

  /** True: it was the answer to the notice. */
  onPong(payload: Uint8Array): boolean {
    const isOurs = NOTICE_PING.every((octet, i) => octet === payload[i]);
    if (isOurs) this.#onNoticeOver();
    return isOurs;
  }

  /** Once without an error; an error may follow. */
  say(code: ErrorCode, reason = ""): void {
    if (this.isSaid && code === ErrorCode.NO_ERROR) return;
    this.isSaid = true;
    const payload = goawayPayload(this.#core.lastPeerStream, code, reason);
    this.#core.writer.control(FrameType.GOAWAY, 0, 0, payload);
  }

  cancel(): void {
    this.#cancelTimer();
  }
}
