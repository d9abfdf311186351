import assert from "node:assert/strict";
import { test } from "node:test";
import { podUid } from "#core/model/ids.ts";
import type { ZdsRequest } from "#core/wire/zds-codec.ts";
import { NEW_SESSION, onZdsMessage, type ZdsSessionState, type ZdsStep } from "./zds-session.ts";

const workload = { name: "web-1", namespace: "default", serviceAccount: "web" };
const add = (uid: string): ZdsRequest => ({ kind: "add", uid: podUid(uid), workload });
const keep = (uid: string): ZdsRequest => ({ kind: "keep", uid: podUid(uid) });
const del = (uid: string): ZdsRequest => ({ kind: "delete", uid: podUid(uid) });
const SENT: ZdsRequest = { kind: "snapshot-sent" };

function run(messages: readonly (readonly [ZdsRequest, ...(readonly number[])])[]): {
  readonly steps: readonly ZdsStep[];
  readonly state: ZdsSessionState;
  readonly violation: string | undefined;
} {
  let state = NEW_SESSION;
  const steps: ZdsStep[] = [];
  for (const [message, ...fds] of messages) {
    const outcome = onZdsMessage(state, message, fds);
    if (outcome.kind === "violation") return { steps, state, violation: outcome.error };
    state = outcome.state;
    if (outcome.step !== undefined) steps.push(outcome.step);
  }
  return { steps, state, violation: undefined };
}

const violations: readonly (readonly [string, Parameters<typeof run>[0]])[] = [
  ["an add without a descriptor", [[add("a")]]],
  ["an add with two descriptors", [[add("a"), 5, 6]]],
  ["a descriptor on a keep", [[keep("a"), 5]]],
  ["a descriptor on a delete", [[del("a"), 5]]],
  ["a descriptor on the end of the snapshot", [[SENT, 5]]],
  ["a keep after the snapshot", [[SENT], [keep("a")]]],
  ["a second end of the snapshot", [[SENT], [SENT]]],
];

for (const [name, messages] of violations) {
  test(`${name} breaks the protocol`, () => {
    assert.notEqual(run(messages).violation, undefined);
  });
}

test("the end of the snapshot keeps exactly what was added or kept, minus what was deleted", () => {
  const { steps, state } = run([[add("a"), 5], [keep("b")], [add("c"), 6], [del("c")], [SENT]]);
  const retain = steps.find((s) => s.kind === "retain");
  assert.deepEqual([...(retain?.uids ?? [])], ["a", "b"]);
  assert.deepEqual(
    steps.map((s) => s.kind),
    ["add", "add", "delete", "retain"],
  );
  assert.equal(state.phase, "live");
});

test("an empty snapshot removes everything", () => {
  assert.deepEqual(run([[SENT]]).steps, [{ kind: "retain", uids: new Set() }]);
});

test("after the snapshot pods come and go one by one", () => {
  const { steps } = run([[SENT], [add("a"), 7], [del("a")]]);
  assert.deepEqual(steps.slice(1), [
    { kind: "add", uid: "a", workload, netnsFd: 7 },
    { kind: "delete", uid: "a" },
  ]);
});
