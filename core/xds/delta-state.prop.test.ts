import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { record } from "../testing/arbitraries.ts";
import { DeltaState } from "./delta-state.ts";

const TYPE = "type.test/A";
const NODE = { id: "n", cluster: "", metadata: {}, buildVersion: "" };
const name = fc.constantFrom("a", "b", "c", "d");

interface PushEvent {
  readonly kind: "push";
  readonly changed: readonly string[];
  readonly rejected: readonly string[];
  readonly removed: readonly string[];
}

type ModelEvent =
  | PushEvent
  | { readonly kind: "reconnect" }
  | { readonly kind: "demand"; readonly name: string };

const push: fc.Arbitrary<ModelEvent> = record({
  kind: fc.constant("push" as const),
  changed: fc.uniqueArray(name),
  rejected: fc.uniqueArray(name),
  removed: fc.uniqueArray(name),
});
const event = fc.oneof(
  { arbitrary: push, weight: 4 },
  record({ kind: fc.constant("reconnect" as const) }),
  record({ kind: fc.constant("demand" as const), name }),
);

test("under any interleaving: one answer each, no rejected version is ever claimed, what is in force always is", () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), fc.boolean(), (events, wildcard) => {
      const state = new DeltaState([{ typeUrl: TYPE, mode: wildcard ? "wildcard" : "on-demand" }]);
      const inForce = new Map<string, string>();
      const rejectedPairs = new Set<string>();
      const demanded = new Set<string>();
      let sequence = 0;
      const runPush = ({ changed, rejected, removed }: PushEvent): void => {
        const gone = removed.filter((n) => !changed.includes(n));
        const version = `v${++sequence}`;
        const resources = changed.map((n) => ({
          name: n,
          version,
          aliases: [],
          typeUrl: TYPE,
          body: new Uint8Array(0),
        }));
        const bad = rejected.filter((n) => changed.includes(n));
        const response = { systemVersion: "", typeUrl: TYPE, nonce: version, resources, removed: gone };
        const { answer } = state.applied(
          response,
          bad.map((n) => ({ name: n, reason: "no" })),
        );
        for (const n of changed) {
          if (bad.includes(n)) rejectedPairs.add(`${n}@${version}`);
          else inForce.set(n, version);
        }
        for (const n of gone) inForce.delete(n);
        assert.equal(answer.responseNonce, version);
        assert.equal(answer.error !== undefined, bad.length > 0);
        for (const n of bad) assert.ok(answer.error?.message.includes(`${n}: no`));
      };
      for (const e of events) {
        if (e.kind === "push") runPush(e);
        else if (e.kind === "demand") {
          const expected = !wildcard && !demanded.has(e.name);
          assert.equal(state.demand(TYPE, e.name) !== undefined, expected);
          demanded.add(e.name);
        } else {
          const [request] = state.connected(NODE);
          const claimed = request?.initialResourceVersions ?? new Map();
          assert.deepEqual(new Map(claimed), inForce);
          for (const [n, version] of claimed) assert.ok(!rejectedPairs.has(`${n}@${version}`));
          const asked = (request?.subscribe ?? []).filter((n) => n !== "*");
          assert.deepEqual(new Set(asked), wildcard ? new Set() : demanded);
        }
      }
    }),
    { numRuns: 2000 },
  );
});
