/** The orders of joining and leaving: each wrong one was shown to lose connections or to let plaintext out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { podUid } from "#core/model/ids.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { MeshDataplane } from "./mesh-dataplane.ts";
import type { PodRef } from "./pod-ref.ts";
import { RefusalCounts } from "./refusals.ts";
import { type FakeCapture, fakeCapture } from "./test/fake-capture.ts";
import { aNetns } from "./test/objects.ts";
import type { ZdsAnswer } from "./zds-server.ts";

const POD: PodRef = {
  uid: podUid("u1"),
  name: "web",
  namespace: "shop",
  serviceAccount: "web",
  labels: {},
  ips: [],
};

interface Scene {
  readonly calls: string[];
  readonly capture: FakeCapture;
  readonly dataplane: MeshDataplane;
  readonly refusals: RefusalCounts;
  answer: ZdsAnswer;
  ztunnelPid: number;
}

function scene(): Scene {
  const refusals = new RefusalCounts();
  const calls: string[] = [];
  const capture = fakeCapture(calls);
  const state: { answer: ZdsAnswer; ztunnelPid: number } = { answer: { kind: "acked" }, ztunnelPid: 100 };
  const dataplane = new MeshDataplane({
    capture,
    zds: {
      newest: () => (state.ztunnelPid === 0 ? undefined : { id: state.ztunnelPid, pid: state.ztunnelPid }),
      add: () => {
        calls.push("zds.add");
        return Promise.resolve(state.answer);
      },
      broadcast: (request) => {
        calls.push(`zds.${request.kind}`);
        return Promise.resolve();
      },
    },
    annotate: (_pod, captured) => {
      calls.push(`annotate ${captured}`);
      return Promise.resolve();
    },
    onJoined: () => undefined,
    onDeviceEvent: () => undefined,
    drainMs: 1_000,
    holdMs: 30_000,
    refusals,
    log: silentLogger,
  });
  return Object.assign(state, { calls, capture, dataplane, refusals });
}

test("joining: announced and acknowledged, then captured, then held, then annotated", async () => {
  const { dataplane, calls } = scene();
  assert.deepEqual(await dataplane.join(POD, aNetns(1n)), { kind: "joined" });
  assert.deepEqual(calls, ["zds.add", "capture.enrol", "capture.hold 100", "annotate true"]);
});

test("without an acknowledgement nothing is captured and nothing annotated", async () => {
  const s = scene();
  s.answer = { kind: "no-ztunnel", error: "no ztunnel is connected on this node" };
  const netns = aNetns(1n);
  const outcome = await s.dataplane.join(POD, netns);
  assert.equal(outcome.kind, "refused");
  assert.match(outcome.kind === "refused" ? outcome.message : "", /no ztunnel/);
  assert.deepEqual(s.calls, ["zds.add", "zds.delete"]);
  assert.equal(netns.closed, 1);
  assert.equal(s.dataplane.pods.size, 0);
});

test("a refused capture withdraws the announcement and is not annotated", async () => {
  const s = scene();
  s.capture.enrolOutcome = { kind: "refused", reason: "self-test-failed", message: "not captured" };
  assert.equal((await s.dataplane.join(POD, aNetns(1n))).kind, "refused");
  assert.equal(s.refusals.of("capture"), 1);
  assert.deepEqual(s.calls, ["zds.add", "capture.enrol", "zds.delete"]);
});

test("joining twice with the same namespace does nothing more", async () => {
  const s = scene();
  await s.dataplane.join(POD, aNetns(1n));
  s.calls.length = 0;
  const second = aNetns(1n);
  assert.deepEqual(await s.dataplane.join(POD, second), { kind: "joined" });
  assert.deepEqual(s.calls, []);
  assert.equal(second.closed, 1);
});

test("a pod of an earlier agent: programs of an older build are replaced, a lost annotation is written again", () => {
  const s = scene();
  s.dataplane.takeOver(POD, aNetns(1n), { complete: true, annotated: true });
  assert.deepEqual(s.calls, []);
  s.capture.oldPrograms = true;
  s.dataplane.takeOver(POD, aNetns(1n), { complete: true, annotated: false });
  assert.deepEqual(s.calls, ["capture.upgrade", "annotate true"]);
});

test("programs that cannot be replaced stay: the pod is served as before", () => {
  const s = scene();
  s.capture.oldPrograms = true;
  Object.assign(s.capture, {
    upgradePrograms: () => {
      throw new Error("no memory");
    },
  });
  s.dataplane.takeOver(POD, aNetns(1n), { complete: true, annotated: true });
  assert.equal(s.dataplane.pods.get(POD.uid)?.interrupted, false);
});

test("an enrolment that an earlier agent did not finish is finished, and only then annotated", async () => {
  const s = scene();
  const old = aNetns(1n);
  s.dataplane.takeOver(POD, old, { complete: false, annotated: false });
  assert.deepEqual(s.calls, []);
  assert.deepEqual(await s.dataplane.join(POD, aNetns(1n)), { kind: "joined" });
  assert.deepEqual(s.calls, ["watch.close", "zds.add", "capture.enrol", "capture.hold 100", "annotate true"]);
  assert.equal(old.closed, 1);
  assert.equal(s.dataplane.pods.get(POD.uid)?.interrupted, false);
});

test("without a ztunnel an interrupted pod stays known, so that it is finished or released later", async () => {
  const s = scene();
  s.dataplane.takeOver(POD, aNetns(1n), { complete: false, annotated: false });
  s.ztunnelPid = 0;
  const again = aNetns(1n);
  const outcome = await s.dataplane.join(POD, again);
  assert.equal(outcome.kind, "refused");
  assert.deepEqual(s.calls, []);
  assert.equal(again.closed, 1);
  assert.equal(s.dataplane.pods.get(POD.uid)?.interrupted, true);
});

test("leaving: stop capturing new ones, withdraw the annotation, detach, ZDS delete last", async () => {
  const s = scene();
  const netns = aNetns(1n);
  await s.dataplane.join(POD, netns);
  s.calls.length = 0;
  await s.dataplane.leave(POD.uid);
  assert.deepEqual(s.calls, [
    "capture.drain",
    "annotate false",
    "capture.detach",
    "zds.delete",
    "watch.close",
    "held.release",
  ]);
  assert.equal(netns.closed, 1);
});

test("leaving is repeated while captured connections live: never detached with them, never deleted before", async () => {
  const s = scene();
  await s.dataplane.join(POD, aNetns(1n));
  s.calls.length = 0;
  s.capture.unEnrolOutcomes.push({ kind: "still-captured", connections: 2, message: "busy" });
  await s.dataplane.leave(POD.uid);
  assert.deepEqual(
    s.calls.filter((c) => c.startsWith("capture.drain") || c.startsWith("zds")),
    ["capture.drain", "capture.drain", "zds.delete"],
  );
});

test("an ended pod keeps its programs until its namespace is gone", async () => {
  const s = scene();
  await s.dataplane.join(POD, aNetns(1n));
  s.calls.length = 0;
  await s.dataplane.ended(POD.uid);
  assert.ok(!s.calls.some((c) => c.startsWith("capture.")), s.calls.join());
  assert.equal(s.calls[0], "zds.delete");
});

test("a new ztunnel: its listeners are adopted before the held ones are released", async () => {
  const s = scene();
  await s.dataplane.join(POD, aNetns(1n));
  s.calls.length = 0;
  s.ztunnelPid = 200;
  s.dataplane.ztunnelReady({ id: 200, pid: 200 }, [POD.uid]);
  await s.dataplane.join(POD, aNetns(1n)); // waits for its turn
  assert.deepEqual(s.calls, ["capture.adopt fresh", "capture.hold 200", "held.release"]);
});

test("the same ztunnel after a lost connection: its old listeners are the right ones", async () => {
  const s = scene();
  await s.dataplane.join(POD, aNetns(1n));
  s.calls.length = 0;
  s.capture.adoptFresh = { kind: "refused", reason: "only-old-listeners", role: "outbound", message: "" };
  s.dataplane.ztunnelReady({ id: 100, pid: 100 }, [POD.uid]);
  await s.dataplane.join(POD, aNetns(1n));
  assert.deepEqual(s.calls.slice(0, 2), ["capture.adopt fresh", "capture.adopt any"]);
});

test("an older ztunnel that becomes ready late takes nothing over", async () => {
  const s = scene();
  await s.dataplane.join(POD, aNetns(1n));
  s.calls.length = 0;
  s.dataplane.ztunnelReady({ id: 50, pid: 50 }, [POD.uid]);
  await s.dataplane.join(POD, aNetns(1n));
  assert.deepEqual(s.calls, []);
});

test("when the last ztunnel is gone callers wait, but not for ever", async () => {
  const s = scene();
  await s.dataplane.join(POD, aNetns(1n));
  s.dataplane.ztunnelGone();
  assert.equal(s.calls.at(-1), "held.releaseAfter 30000");
});
