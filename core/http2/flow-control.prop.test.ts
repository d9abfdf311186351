import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  MAX_STREAM_WINDOW,
  ReceiveBudget,
  ReceiveWindow,
  SMALL_STREAM_FLOOR,
  STREAM_FLOOR,
} from "./flow-control.ts";

describe("receive windows", () => {
  it("credits what was consumed, keeps to the budget, and returns everything", () => {
    const step = fc.record({
      stream: fc.nat(4),
      bytes: fc.integer({ min: 1, max: 300_000 }),
      ms: fc.nat(7_000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.constantFrom(2, 4, 64), (steps, budgetMib) => {
        const budget = new ReceiveBudget(budgetMib << 20);
        const windows = Array.from({ length: 5 }, () => new ReceiveWindow(budget, STREAM_FLOOR, 0));
        const peers = windows.map(() => STREAM_FLOOR);
        let nowMs = 0;
        for (const { stream, bytes, ms } of steps) {
          nowMs += ms;
          const window = windows[stream] as ReceiveWindow;
          const sent = Math.min(bytes, peers[stream] as number);
          assert.equal(window.onReceived(sent), true);
          const credit = window.onConsumed(sent, nowMs);
          peers[stream] = (peers[stream] as number) - sent + credit;
          assert.ok(credit >= 0 && window.size >= STREAM_FLOOR && window.size <= MAX_STREAM_WINDOW);
          assert.ok((peers[stream] as number) <= window.size);
          assert.ok((peers[stream] as number) > 0, "never without credit while everything is consumed");
          assert.ok(budget.usedBytes <= Math.max(budget.totalBytes, 5 * STREAM_FLOOR));
        }
        for (const window of windows) {
          window.close();
          window.close();
        }
        assert.equal(budget.usedBytes, 0);
      }),
    );
  });

  it("doubles while half is consumed within a second, up to 4 MiB", () => {
    const window = new ReceiveWindow(new ReceiveBudget(), STREAM_FLOOR, 0);
    const sizes = [1, 2, 3, 4, 5, 6].map((n) => {
      window.onReceived(window.size / 2);
      window.onConsumed(window.size / 2, n * 100);
      return window.size;
    });
    assert.deepEqual(sizes, [1 << 19, 1 << 20, 1 << 21, 1 << 22, 1 << 22, 1 << 22]);
  });

  it("refuses what exceeds the window", () => {
    const window = new ReceiveWindow(new ReceiveBudget(), STREAM_FLOOR, 0);
    assert.equal(window.onReceived(STREAM_FLOOR), true);
    assert.equal(window.onReceived(1), false);
  });

  it("gives new connections a small floor once floors fill half of the budget", () => {
    const budget = new ReceiveBudget(1 << 20);
    const windows = [1, 2, 3].map(() => new ReceiveWindow(budget, budget.chooseFloor(), 0));
    assert.deepEqual(
      windows.map((window) => window.size),
      [STREAM_FLOOR, STREAM_FLOOR, STREAM_FLOOR],
    );
    assert.equal(budget.chooseFloor(), SMALL_STREAM_FLOOR);
  });
});
