/** Whose process is it? By the kubelet's own directory at its exact depth, never by a name found somewhere below. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isProcessOfPod, kubepodsPrefix, podDirectories } from "./pod-cgroups.ts";

const UID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
const ESCAPED = UID.replaceAll("-", "_");

const FOREIGN: readonly (readonly [string, string])[] = [
  ["a directory of that name below another pod's container", `0::/kubepods/podother/c1/pod${UID}/c2`],
  [
    "a directory of that name below a container of another class",
    `0::/kubepods/burstable/podother/pod${UID}`,
  ],
  ["the whole path again below a container", `0::/kubepods/podother/c1/kubepods/pod${UID}/c2`],
  ["a directory below one of its own containers", `0::/kubepods/pod${UID}/c1/nested`],
  ["the pod's directory itself", `0::/kubepods/pod${UID}`],
  ["a name that only begins alike", `0::/kubepods/pod${UID}x/c1`],
  ["another prefix", `0::/machine/kubepods/pod${UID}/c1`],
  ["no pod at all", "0::/system.slice/ssh.service"],
  ["nothing", ""],
];
for (const [name, text] of FOREIGN) {
  test(`is not the pod's process: ${name}`, () => {
    assert.equal(isProcessOfPod(text, "", UID), false);
  });
}

const OWN: readonly (readonly [string, string])[] = [
  ["guaranteed", `0::/kubepods/pod${UID}/c1`],
  ["burstable", `0::/kubepods/burstable/pod${UID}/c1`],
  ["version 1 beside version 2", `0::/\n4:memory:/kubepods/besteffort/pod${UID}/c1`],
  [
    "systemd",
    `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${ESCAPED}.slice/cri-containerd-1.scope`,
  ],
  ["systemd, guaranteed", `0::/kubepods.slice/kubepods-pod${ESCAPED}.slice/cri-containerd-1.scope`],
];
for (const [name, text] of OWN) {
  test(`is the pod's process: ${name}`, () => {
    assert.equal(isProcessOfPod(text, "", UID), true);
  });
}

test("the tree's prefix is what stands before kubepods in the agent's own path", () => {
  assert.equal(kubepodsPrefix("0::/ambit/n1/kubepods/podx/c\n"), "/ambit/n1");
  assert.equal(kubepodsPrefix("0::/kubepods.slice/kubepods-podx.slice/c\n"), "");
  assert.equal(kubepodsPrefix("0::/user.slice\n"), "");
  assert.equal(isProcessOfPod(`0::/ambit/n1/kubepods/pod${UID}/c`, "/ambit/n1", UID), true);
  assert.equal(isProcessOfPod(`0::/ambit/n2/kubepods/pod${UID}/c`, "/ambit/n1", UID), false);
});

test("every place is at a fixed depth", () => {
  for (const directory of podDirectories(UID)) assert.match(directory, /^kubepods(\.slice)?\//);
  assert.equal(podDirectories(UID).length, 6);
});
