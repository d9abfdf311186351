/**
 * The requests and plain connections under way: counted, ended when nothing moves on them for too long, and judged again whenever the configuration
 * changes, with what was known when they began.
 */
import type { Clock } from "#core/base/clock.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { FairShare } from "../fair-share.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import type { Reason } from "./reasons.ts";

export interface OpenCall {
  /** The caller's. */
  readonly identity: SpiffeId;
  /** Anything at all: it changes whenever something moves. */
  readonly activity: number;
  /** Why it may not go on under `snapshot`; undefined: it may. */
  judgeAgain(snapshot: WaypointSnapshot): Reason | undefined;
  /** Ends it now, visibly incomplete unless the answer had not begun. */
  end(reason: Reason): void;
}

export interface OpenCallsOptions {
  readonly clock: Clock;
  readonly maxCalls: number;
  readonly idleMs: number;
}

interface Seen {
  activity: number;
  sinceMs: number;
}

/** Of the time after which a call counts as idle: how often one looks. */
const LOOKS_PER_IDLE_TIME = 10;

export class OpenCalls {
  readonly #options: OpenCallsOptions;
  readonly #calls = new Map<OpenCall, Seen>();
  readonly #share: FairShare<SpiffeId>;
  #isLooking = false;
  #whenEmpty: (() => void)[] = [];

  constructor(options: OpenCallsOptions) {
    this.#options = options;
    this.#share = new FairShare(options.maxCalls);
  }

  get size(): number {
    return this.#calls.size;
  }

  /** Whether `call`, which was added, is one too many. */
  isTooMany({ identity }: OpenCall): boolean {
    return this.#share.roomFor(identity) < 0;
  }

  add(call: OpenCall): void {
    this.#calls.set(call, { activity: -1, sinceMs: 0 });
    this.#share.add(call.identity);
    if (!this.#isLooking) this.#lookLater();
  }

  remove(call: OpenCall): void {
    if (this.#calls.delete(call)) this.#share.remove(call.identity);
    if (this.#calls.size > 0) return;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  /** Resolves when there is none. */
  empty(): Promise<void> {
    if (this.#calls.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.push(resolve));
  }

  judgeAgain(snapshot: WaypointSnapshot): void {
    for (const call of this.#calls.keys()) {
      if (call.judgeAgain(snapshot) !== undefined) call.end("policy-changed");
    }
  }

  endAll(reason: Reason): void {
    for (const call of this.#calls.keys()) call.end(reason);
  }

  #lookLater(): void {
    this.#isLooking = true;
    this.#options.clock.after(this.#options.idleMs / LOOKS_PER_IDLE_TIME, () => this.#look());
  }

  #look(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [call, seen] of this.#calls) {
      if (call.activity !== seen.activity) {
        seen.activity = call.activity;
        seen.sinceMs = nowMs;
      } else if (nowMs - seen.sinceMs >= this.#options.idleMs) call.end("idle");
    }
    this.#isLooking = false;
    if (this.#calls.size > 0) this.#lookLater();
  }
}
