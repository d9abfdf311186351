/** What a change of a running pod leads to: capture, an event that says why not, and another try. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { createLog, silentLogger } from "#core/runtime/log.ts";
import { createManualClock, type ManualClock } from "#core/testing/manual-clock.ts";
import type { FoundNetns } from "./netns-finder.ts";
import { PodReconciler } from "./pod-reconciler.ts";
import { SkippedPods } from "./skipped-pods.ts";
import { type FakeCapture, fakeCapture } from "./test/fake-capture.ts";
import { aDataplane } from "./test/a-dataplane.ts";
import { aNamespace, aNetns, aPod } from "./test/objects.ts";

const UID = aPod().metadata.uid;

interface Scene {
  pod: PodObject | undefined;
  namespace: NamespaceObject;
  found: FoundNetns;
  readonly capture: FakeCapture;
  readonly clock: ManualClock;
  readonly said: string[];
  readonly skipped: SkippedPods;
  readonly lines: readonly string[];
  readonly reconciler: PodReconciler;
  settle(): Promise<void>;
}

function scene(): Scene {
  const said: string[] = [];
  const capture = fakeCapture();
  const clock = createManualClock();
  const lines: string[] = [];
  const skipped = new SkippedPods(
    createLog("skipped", { level: "info", write: (line) => lines.push(line) }).root,
  );
  const world: Pick<Scene, "pod" | "namespace" | "found"> = {
    pod: aPod(),
    namespace: aNamespace("ambient"),
    found: { kind: "found", netns: aNetns(5n), pid: 1 },
  };
  const dataplane = aDataplane(capture, (pod, on) => {
    if (!on) said.push(`${pod.name} disowned`);
  });
  const reconciler = new PodReconciler({
    systemNamespace: "istio-system",
    excludedNamespaces: ["kube-system"],
    skipped,
    dataplane,
    podByUid: () => result.pod,
    namespaceByName: () => result.namespace,
    findNetns: () => result.found,
    events: {
      refused: (pod, message) => {
        said.push(`${pod.name}: ${message}`);
        return Promise.resolve();
      },
      captured: (pod) => void said.push(`${pod.name} captured`),
    },
    clock,
    log: silentLogger,
  });
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  const result: Scene = Object.assign(world, { capture, clock, said, reconciler, settle, skipped, lines });
  return result;
}

test("a refused capture is said on the pod and tried again", async () => {
  const s = scene();
  s.capture.enrolOutcome = { kind: "refused", reason: "self-test-failed", message: "leaves in clear" };
  s.reconciler.touch(UID);
  await s.settle();
  assert.deepEqual(s.said, ["web-1: self-test-failed: leaves in clear"]);
  s.capture.enrolOutcome = { kind: "enrolled", attachment: "tcx", preEnrolmentConnections: 0 };
  await s.clock.advance(1_000);
  await s.settle();
  assert.deepEqual(s.said.slice(1), ["web-1 captured"]);
});

test("a pod whose processes are in two places is not captured, and that is said", async () => {
  const s = scene();
  s.found = { kind: "refused", reason: "the pod's processes are in several places" };
  s.reconciler.touch(UID);
  await s.settle();
  assert.deepEqual(s.capture.calls, []);
  assert.match(s.said.join(), /several places/);
});

test("a running pod with a probe at another host is not captured, and that is said", async () => {
  const s = scene();
  s.pod = aPod({ foreignProbeHosts: ["10.0.0.9"] });
  s.reconciler.touch(UID);
  await s.settle();
  assert.deepEqual(s.capture.calls, []);
  assert.match(s.said.join(), /names another host \(10\.0\.0\.9\)/);
  assert.equal(s.clock.pending, 0, "only a change of the pod helps");
});

test("an annotation on a pod that is not captured is withdrawn; nothing is captured or let go for it", async () => {
  const s = scene();
  s.pod = aPod({ metadata: { annotations: { "ambient.istio.io/redirection": "enabled" } } });
  s.namespace = aNamespace(undefined);
  s.reconciler.touch(UID);
  await s.settle();
  assert.deepEqual(s.said, ["web-1 disowned"]);
  assert.deepEqual(s.capture.calls, []);
});

test("a pod without processes is looked at again without an event", async () => {
  const s = scene();
  s.found = { kind: "none", reason: "the pod has no running process" };
  s.reconciler.touch(UID);
  await s.settle();
  assert.deepEqual(s.said, []);
  assert.equal(s.clock.pending, 1);
  s.reconciler.close();
  assert.equal(s.clock.pending, 0);
});

test("changes during a pass lead to one more pass, and the last word counts", async () => {
  const s = scene();
  s.reconciler.touch(UID);
  s.namespace = aNamespace(undefined);
  s.reconciler.touch(UID);
  s.reconciler.touch(UID);
  await s.settle();
  assert.equal(s.capture.calls.filter((call) => call === "capture.enrol").length, 1);
  assert.equal(s.capture.calls.at(-1) === "capture.enrol", false, "it has left again");
});

test("a pod of the mesh itself is never captured, though labelled; that is said once and listed until the label is gone", async () => {
  const s = scene();
  s.pod = aPod({ metadata: { namespace: "istio-system" } });
  s.namespace = aNamespace("ambient", "istio-system");
  for (let time = 0; time < 3; time++) {
    s.reconciler.touch(UID);
    await s.settle();
  }
  assert.deepEqual(s.capture.calls, []);
  assert.equal(s.clock.pending, 0, "it is not tried again");
  assert.deepEqual(s.skipped.list(), [
    { namespace: "istio-system", name: "web-1", reason: "system-namespace" },
  ]);
  assert.equal(s.lines.length, 1);
  assert.match(
    s.lines[0] ?? "",
    /istio-system\/web-1.*system-namespace|system-namespace.*istio-system\/web-1/,
  );
  s.namespace = aNamespace(undefined, "istio-system");
  s.reconciler.touch(UID);
  await s.settle();
  assert.deepEqual(s.skipped.list(), []);
});
