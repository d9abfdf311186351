/** Which pods get a new sandbox when theirs is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { needsNewSandbox } from "./pod-containers.ts";
import type { ContainerState, PodObject } from "./pod-types.ts";

const waiting: ContainerState = { waiting: { reason: "ContainerCreating" } };
const running: ContainerState = { running: { startedAt: "2026-01-01T00:00:00Z" } };
const ended = (exitCode: number): ContainerState => ({
  terminated: { exitCode, reason: "", startedAt: "", finishedAt: "" },
});

const rows: readonly (readonly [string | undefined, readonly ContainerState[], boolean, string])[] = [
  [undefined, [running], true, "Always is the default"],
  ["Always", [ended(0)], true, "whatever its containers did"],
  ["OnFailure", [running, ended(0)], true, "one of them has not succeeded"],
  ["OnFailure", [ended(1)], true, "a failure is tried again"],
  ["OnFailure", [ended(0), ended(0)], false, "all have succeeded"],
  ["Never", [running], false, "what ran does not run again"],
  ["Never", [ended(0), waiting], false, "an init container has run"],
  ["Never", [waiting, waiting], true, "nothing has ever run"],
];

for (const [restartPolicy, states, expected, why] of rows) {
  test(`a lost sandbox under ${restartPolicy ?? "no restartPolicy"}: ${why}`, () => {
    const pod: PodObject = {
      metadata: { name: "p", namespace: "default", uid: "1" },
      spec: { containers: [], ...(restartPolicy === undefined ? {} : { restartPolicy }) },
    };
    assert.equal(needsNewSandbox(pod, states), expected);
  });
}
