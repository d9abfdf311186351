import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "#core/base/clock.ts";
import { podUid, policyKey } from "#core/model/ids.ts";
import { ip } from "#core/net/ip.ts";
import { anAuthorization, aWorkload } from "#core/testing/builders.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import type { Verdict } from "./authorize.ts";
import { ConnectionRegistry, type TrackedConnection } from "./connection-registry.ts";

const POD = podUid("u1");
const workload = aWorkload();
const NO_TRACE = {
  policy: undefined,
  rule: undefined,
  nearest: undefined,
  dryRun: undefined,
  explanation: "because",
};
const ALLOW: Verdict = { kind: "allow", trace: NO_TRACE };
const DENY: Verdict = { kind: "deny", reason: "denied-by-policy", trace: NO_TRACE };
const HOLD: Verdict = { kind: "hold", names: [policyKey("default", "p")], trace: NO_TRACE };

function setUp(): {
  readonly state: MeshState;
  readonly aborted: string[];
  readonly judged: () => number;
  readonly passTime: () => void;
  readonly forget: () => void;
  verdict: Verdict;
} {
  const timers: (() => void)[] = [];
  const clock: Clock = {
    nowMs: () => 0,
    monotonicMs: () => 0,
    sleep: () => Promise.resolve(),
    after: (_ms, task) => {
      timers.push(task);
      return () => undefined;
    },
  };
  const state = new MeshState();
  const registry = new ConnectionRegistry({ state, clock, holdMs: 5_000, network: "" });
  const aborted: string[] = [];
  let count = 0;
  const self = {
    state,
    aborted,
    verdict: ALLOW as Verdict,
    judged: () => count,
    passTime: () => timers.splice(0).forEach((task) => task()),
    forget: () => undefined as void,
  };
  const connection: TrackedConnection = {
    id: "c1",
    pod: POD,
    record: {
      direction: "inbound",
      protocol: "hbone",
      source: { ip: ip("10.0.0.9"), port: 1 },
      destination: { ip: ip("10.0.0.5"), port: 2 },
    },
    policy: {
      workload: workload.uid,
      verdict: () => {
        count++;
        return self.verdict;
      },
    },
    movedBytes: 0,
    isAtRest: true,
    retire: () => undefined,
    abort: (reason, error) => void aborted.push(`${reason}: ${error}`),
  };
  registry.track(connection);
  self.forget = () => registry.forget(connection);
  return self;
}

test("a policy change closes what is no longer allowed, with the policy's words", () => {
  const s = setUp();
  s.verdict = DENY;
  s.state.commit({ upserts: [{ kind: "authorization", policy: anAuthorization() }], removals: [] });
  assert.deepEqual(s.aborted, ["policy-changed: connection closed due to policy change: because"]);
});

test("a change of the destination's own record is judged too", () => {
  const s = setUp();
  s.verdict = DENY;
  s.state.commit({ upserts: [{ kind: "workload", workload }], removals: [] });
  assert.equal(s.aborted.length, 1);
});

test("changes of other workloads are not judged", () => {
  const s = setUp();
  s.verdict = DENY;
  s.state.commit({ upserts: [{ kind: "workload", workload: aWorkload({ name: "other" }) }], removals: [] });
  assert.equal(s.judged(), 0);
});

test("a policy that is named but not there yet is waited for, then the connection ends", () => {
  const s = setUp();
  s.verdict = HOLD;
  s.state.commit({ upserts: [{ kind: "workload", workload }], removals: [] });
  assert.equal(s.aborted.length, 0);
  s.passTime();
  assert.equal(s.aborted.length, 1);
});

test("when the policy arrives in time the connection lives", () => {
  const s = setUp();
  s.verdict = HOLD;
  s.state.commit({ upserts: [{ kind: "workload", workload }], removals: [] });
  s.verdict = ALLOW;
  s.passTime();
  assert.equal(s.aborted.length, 0);
});

test("a connection that has ended is not judged any more", () => {
  const s = setUp();
  s.forget();
  s.verdict = DENY;
  s.state.commit({ upserts: [{ kind: "authorization", policy: anAuthorization() }], removals: [] });
  assert.equal(s.judged(), 0);
});
