/** Who may use the plugin's socket: root, outside every pod, and still there to be looked at. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cniCallerRefusal } from "./peer-judgement.ts";

const CASES = [
  { name: "a process that ended before it was looked at", uid: 0, cgroups: undefined, refused: true },
  { name: "root inside a pod", uid: 0, cgroups: "0::/kubepods/burstable/pod1/app\n", refused: true },
  {
    name: "root inside a pod, systemd form",
    uid: 0,
    cgroups: "0::/kubepods.slice/pod1.slice/x\n",
    refused: true,
  },
  { name: "another user", uid: 1000, cgroups: "0::/system.slice/containerd.service\n", refused: true },
  {
    name: "root outside every pod",
    uid: 0,
    cgroups: "0::/system.slice/containerd.service\n",
    refused: false,
  },
] as const;

for (const { name, uid, cgroups, refused } of CASES) {
  test(`${name} is ${refused ? "refused" : "heard"}`, () => {
    assert.equal(cniCallerRefusal(uid, cgroups) !== undefined, refused);
  });
}
