import assert from "node:assert/strict";
import { test } from "node:test";
import { type PodFactsForStatus, podStatus } from "./pod-status.ts";
import type { ContainerState, ContainerStatus, PodStatus } from "./pod-types.ts";
import { afterProbe, FIRST_PROBE_STATE } from "./probe-state.ts";
import { limitsOf, parseQuantity, podCgroup, qosClass } from "./resources.ts";

const running: ContainerState = { running: { startedAt: "t" } };
function ended(exitCode: number): ContainerState {
  return {
    terminated: { exitCode, reason: exitCode === 0 ? "Completed" : "Error", startedAt: "t", finishedAt: "t" },
  };
}
function container(
  name: string,
  state: ContainerState,
  more: Partial<ContainerStatus> = {},
): ContainerStatus {
  return {
    name,
    image: "i",
    imageID: "i",
    ready: state === running,
    started: state === running,
    restartCount: 0,
    state,
    lastState: {},
    ...more,
  };
}
function status(more: Partial<PodFactsForStatus>, old?: PodStatus): PodStatus {
  const pod = {
    metadata: { name: "p", namespace: "n", uid: "u" },
    spec: { containers: [] },
    ...(old === undefined ? {} : { status: old }),
  };
  const facts = {
    pod,
    nodeIps: ["1.1.1.1"],
    podIps: ["2.2.2.2"],
    startTime: "s",
    sandboxReady: true,
    initStatuses: [],
    sidecars: new Set<string>(),
    statuses: [],
    finished: false,
  };
  return podStatus({ ...facts, ...more }, "now");
}
function isTrue(from: PodStatus, type: string): boolean {
  return from.conditions?.find((c) => c.type === type)?.status === "True";
}

const waiting: ContainerState = { waiting: { reason: "PodInitializing" } };
const phases = [
  { name: "nothing started", facts: { statuses: [container("a", waiting)] }, phase: "Pending", ready: false },
  { name: "running", facts: { statuses: [container("a", running)] }, phase: "Running", ready: true },
  {
    name: "one of two not ready",
    facts: { statuses: [container("a", running), container("b", running, { ready: false })] },
    phase: "Running",
    ready: false,
  },
  {
    name: "between two runs",
    facts: { statuses: [container("a", waiting, { restartCount: 1 })] },
    phase: "Running",
    ready: false,
  },
  {
    name: "init not done",
    facts: { initStatuses: [container("i", running)], statuses: [container("a", waiting)] },
    phase: "Pending",
    ready: false,
  },
  {
    name: "init done",
    facts: { initStatuses: [container("i", ended(0))], statuses: [container("a", running)] },
    phase: "Running",
    ready: true,
  },
  {
    name: "sidecar counts for Ready",
    facts: {
      initStatuses: [container("s", running, { ready: false })],
      sidecars: new Set(["s"]),
      statuses: [container("a", running)],
    },
    phase: "Running",
    ready: false,
  },
  {
    name: "all ended well",
    facts: { finished: true, statuses: [container("a", ended(0))] },
    phase: "Succeeded",
    ready: false,
  },
  {
    name: "one failed",
    facts: { finished: true, statuses: [container("a", ended(0)), container("b", ended(1))] },
    phase: "Failed",
    ready: false,
  },
  {
    name: "ended before it began",
    facts: { finished: true, statuses: [container("a", waiting)] },
    phase: "Failed",
    ready: false,
  },
];
for (const c of phases) {
  test(`${c.name}: ${c.phase}, ${c.ready ? "" : "not "}Ready`, () => {
    const result = status(c.facts);
    assert.equal(result.phase, c.phase);
    assert.equal(isTrue(result, "Ready"), c.ready);
  });
}

test("a condition keeps its time while it stays the same", () => {
  const before = status({ statuses: [container("a", running)] });
  const old = {
    ...before,
    conditions: before.conditions?.map((c) => ({ ...c, lastTransitionTime: "then" })) ?? [],
  };
  const after = status({ statuses: [container("a", running, { ready: false })] }, old);
  const times = Object.fromEntries((after.conditions ?? []).map((c) => [c.type, c.lastTransitionTime]));
  assert.equal(times["Initialized"], "then");
  assert.equal(times["Ready"], "now");
});

test("probe thresholds: three failures in a row, one success", () => {
  const results = [true, false, false, true, false, false, false, true];
  let state = FIRST_PROBE_STATE;
  const verdicts = results.map((passed) => (state = afterProbe(state, passed, {})).verdict);
  assert.deepEqual(verdicts, [true, true, true, true, true, true, false, true]);
  assert.equal(afterProbe(FIRST_PROBE_STATE, true, { successThreshold: 2 }).verdict, undefined);
});

const quantities = [
  ["100m", 0.1],
  ["2", 2],
  ["1.5", 1.5],
  ["64Mi", 64 * 2 ** 20],
  ["1G", 1e9],
] as const;
for (const [text, value] of quantities) {
  test(`quantity ${text}`, () => {
    const read = parseQuantity(text);
    assert.ok(read.ok && Math.abs(read.value - value) < 1e-9);
  });
}
test("what is no quantity is refused", () => {
  for (const text of ["", "-1", "1e3", "1 Mi", "Mi", "9".repeat(30)])
    assert.equal(parseQuantity(text).ok, false, text);
});

test("quality of service and the group's name follow requests and limits", () => {
  const spec = (resources: object): Parameters<typeof qosClass>[0] => ({
    containers: [{ name: "c", image: "i", resources }],
  });
  assert.equal(qosClass(spec({})), "BestEffort");
  assert.equal(qosClass(spec({ requests: { cpu: "1" } })), "Burstable");
  assert.equal(qosClass(spec({ limits: { cpu: "1", memory: "1Gi" } })), "Guaranteed");
  assert.equal(podCgroup(spec({ limits: { cpu: "1", memory: "1Gi" } }), "u"), "kubepods/podu");
  assert.equal(podCgroup(spec({ requests: { cpu: "1" } }), "u"), "kubepods/burstable/podu");
  assert.deepEqual(
    limitsOf({ name: "c", image: "i", resources: { limits: { memory: "64Mi", cpu: "500m" } } }),
    { memoryBytes: 64 * 2 ** 20, cpuCores: 0.5 },
  );
});
