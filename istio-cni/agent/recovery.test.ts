/** What an agent finds after a restart: whole, half, ended, and not its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#core/runtime/log.ts";
import type { EnrolledPod } from "../capture/capture.ts";
import { recoverPods, type RecoveredPod } from "./recovery.ts";
import { fakeCapture } from "./test/fake-capture.ts";
import { aNetns, aPod } from "./test/objects.ts";

const UID = aPod().metadata.uid;
const PINNED: EnrolledPod = { podUid: UID, attachment: "tcx", netnsInode: 5n, complete: true };

interface Recovery {
  readonly pods: readonly RecoveredPod[];
  readonly calls: readonly string[];
  /** How often the found namespace was closed. */
  readonly closed: number;
}

function recover(pinned: EnrolledPod, world: { readonly known: boolean; readonly inode: bigint }): Recovery {
  const capture = fakeCapture();
  capture.enrolled = [pinned];
  const netns = aNetns(world.inode);
  const pods = recoverPods({
    capture,
    podByUid: () => (world.known ? aPod() : undefined),
    findNetns: () => ({ kind: "found", netns, pid: 1 }),
    log: silentLogger,
  });
  return { pods, calls: capture.calls, closed: netns.closed };
}

test("a pod whose capture is whole is taken over as such", () => {
  const { pods, closed } = recover(PINNED, { known: true, inode: 5n });
  assert.deepEqual(
    pods.map((p) => [p.pod.metadata.uid, p.complete]),
    [[UID, true]],
  );
  assert.equal(closed, 0);
});

test("one whose enrolment or release was interrupted is taken over as unfinished, never as captured", () => {
  const { pods } = recover({ ...PINNED, complete: false }, { known: true, inode: 5n });
  assert.deepEqual(
    pods.map((p) => p.complete),
    [false],
  );
});

test("another namespace than the pinned one is left alone and not kept open", () => {
  const { pods, closed } = recover(PINNED, { known: true, inode: 6n });
  assert.deepEqual([pods.length, closed], [0, 1]);
});

test("a pod that the API does not know stays captured until its namespace is gone, then its pins go", () => {
  const living = recover(PINNED, { known: false, inode: 5n });
  assert.deepEqual([living.pods, living.calls], [[], []]);
  const ended = recover({ ...PINNED, netnsInode: undefined }, { known: false, inode: 5n });
  assert.deepEqual(ended.calls, [`capture.forget ${UID}`]);
});
