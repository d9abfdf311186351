/** The sample's steady load, judged between two moments: how many were tried, how many failed. */
import assert from "node:assert/strict";
import { eventually } from "./eventually.ts";
import type { PodHands } from "./hands.ts";
import { get } from "./moves.ts";
import { say } from "./say.ts";

/** Requests that are under way at any time while all is well: a few milliseconds each. */
const UNDER_WAY = 20;

/** Whether no request hangs; one that hangs has not failed yet. */
export function allAnswered(stats: LoadStats): boolean {
  const waiting = [stats.fresh, stats.kept].reduce((sum, c) => sum + c.tried - c.ok - c.failed, 0);
  return waiting <= UNDER_WAY;
}

interface Count {
  readonly tried: number;
  readonly ok: number;
  readonly failed: number;
}

export interface LoadStats {
  readonly fresh: Count;
  readonly kept: Count;
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
    this.#before = await this.#answered();
  }

  /** Waits until no request hangs: those under way at a time are few. */
  #answered(): Promise<LoadStats> {
    return eventually("the load's requests are answered", async () => {
      const now = await this.stats();
      return allAnswered(now) ? now : undefined;
    });
  }

  /** Fails unless nothing failed since `begin` and at least 95 % of the nominal load was tried. */
  async expectNoFailure(during: string): Promise<void> {
    const after = await this.#answered(); // a request that hangs must count when it fails
    const before = this.#before;
    assert.ok(before !== undefined, "counting has not begun");
    const tried = after.fresh.tried + after.kept.tried - before.fresh.tried - before.kept.tried;
    const failed = after.fresh.failed + after.kept.failed - before.fresh.failed - before.kept.failed;
    const nominal = (after.seconds - before.seconds) * after.rate;
    say(`${during}: ${failed} failures of ${tried} requests tried (${Math.round(nominal)} nominal)`);
    const reasons = Object.entries(after.reasons).filter(([reason, n]) => n > (before.reasons[reason] ?? 0));
    assert.equal(failed, 0, `${failed} of ${tried} failed: ${JSON.stringify(reasons)}`);
    assert.ok(tried >= nominal * 0.95, `only ${tried} of ${Math.round(nominal)} requests were tried`);
  }
}
