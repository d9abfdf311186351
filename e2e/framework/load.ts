/** The sample's steady load, judged between two moments: how many were tried, how many failed. */
import assert from "node:assert/strict";
import { eventually } from "./eventually.ts";
import type { PodHands } from "./hands.ts";
import { get } from "./http-moves.ts";
import { say } from "./say.ts";

/** The load's numbers, once every request that was asked before has its answer: one that hangs has not failed yet. */
export function answeredLoad(read: () => Promise<LoadStats>): Promise<LoadStats> {
  const beganMs = performance.now();
  return eventually("the load's requests are answered", async () => {
    const elapsedMs = performance.now() - beganMs;
    const now = await read();
    return now.oldestMs < elapsedMs ? now : undefined;
  });
}

interface Count {
  readonly tried: number;
  readonly ok: number;
  readonly failed: number;
  /** Answers that took long. */
  readonly held: number;
  /** Repeated by the client itself, on a new connection: the kept one had ended with nothing of an answer. */
  readonly retried: number;
}

export interface LoadStats {
  readonly fresh: Count;
  readonly kept: Count;
  /** For how long the oldest request without an answer has waited. */
  readonly oldestMs: number;
  readonly seconds: number;
  readonly rate: number;
  readonly reasons: Readonly<Record<string, number>>;
}

export class LoadWatch {
  readonly #hands: PodHands;
  #before: LoadStats | undefined;

  /** `hands`: in the container of the load. */
  constructor(hands: PodHands) {
    this.#hands = hands;
  }

  async stats(): Promise<LoadStats> {
    const { body } = await this.#hands.run(get, "http://127.0.0.1:9090/stats");
    return JSON.parse(body) as LoadStats;
  }

  /** Counting begins here, once what was sent before has its answer. */
  async begin(): Promise<void> {
    this.#before = await answeredLoad(() => this.stats());
  }

  /**
   * Fails unless nothing failed since `begin` and at least 95 % of the nominal load was tried. Nothing may have been repeated
   * either, unless `mayRetry`: there kept connections are ended between two requests.
   */
  async expectNoFailure(
    during: string,
    { mayRetry = false }: { readonly mayRetry?: boolean } = {},
  ): Promise<void> {
    const after = await answeredLoad(() => this.stats());
    const before = this.#before;
    assert.ok(before !== undefined, "counting has not begun");
    const { tried, held, retried, failed, nominal } = loadBetween(before, after);
    say(
      `${during}: ${failed} failures of ${tried} requests tried (${Math.round(nominal)} nominal), ${held} held, ${retried} retried`,
    );
    const reasons = Object.entries(after.reasons).filter(([reason, n]) => n > (before.reasons[reason] ?? 0));
    assert.equal(failed, 0, `${failed} of ${tried} failed: ${JSON.stringify(reasons)}`);
    assert.ok(mayRetry || retried === 0, `${retried} of ${tried} had to be repeated`);
    assert.ok(tried >= nominal * 0.95, `only ${tried} of ${Math.round(nominal)} requests were tried`);
  }
}

export interface LoadWindow {
  readonly tried: number;
  readonly held: number;
  readonly retried: number;
  readonly failed: number;
  readonly seconds: number;
  /** What the rate would have sent. */
  readonly nominal: number;
}

export function loadBetween(before: LoadStats, after: LoadStats): LoadWindow {
  const more = (field: keyof Count): number =>
    after.fresh[field] + after.kept[field] - before.fresh[field] - before.kept[field];
  const seconds = after.seconds - before.seconds;
  return {
    tried: more("tried"),
    held: more("held"),
    retried: more("retried"),
    failed: more("failed"),
    seconds,
    nominal: seconds * after.rate,
  };
}
