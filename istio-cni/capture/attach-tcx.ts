/** tcx (Linux 6.6): a pinned link per device, at the head of the device's list. */
import { closeSync } from "node:fs";
import { createTcxLink, linkInfo, queryTcx, updateLink } from "#core/linux/bpf.ts";
import { inNetns } from "#core/linux/netns.ts";
import type { Attacher, Hook, HookState, PodContext } from "./attachment.ts";
import { egressLink, LOOPBACK_LINK } from "./pins.ts";

export const tcxAttacher: Attacher = {
  kind: "tcx",
  inspect,
  attach: (pod, hook) => {
    if (inspect(pod, hook).kind !== "missing") return;
    pod.pins.withProgram(hook.program, (program) => link(pod, hook, program));
  },
  moveToFront: (pod, hook, freshProgram) => {
    // The new link exists before the old one goes: replacing the pin drops the old link.
    link(pod, hook, freshProgram);
  },
  replaceProgram: (pod, hook, program) => {
    pod.pins.withLink(linkName(hook), (fd) => updateLink(fd, program));
  },
  detach: (pod, hook) => pod.pins.removePin(linkName(hook)),
};

function inspect(pod: PodContext, hook: Hook): HookState {
  const info = pod.pins.withLink(linkName(hook), linkInfo);
  if (info === undefined || info.target !== hook.ifindex) return { kind: "missing" };
  const order = inNetns(pod.netns, () => queryTcx(hook.ifindex, hook.direction));
  const place = order.indexOf(info.programId);
  if (place === 0) return { kind: "first" };
  return place < 0 ? { kind: "missing" } : { kind: "behind", foreign: `tcx program ${order[0]}` };
}

function link(pod: PodContext, hook: Hook, program: number): void {
  const fd = inNetns(pod.netns, () => createTcxLink(program, hook.ifindex, hook.direction));
  try {
    pod.pins.replacePin(linkName(hook), fd);
  } finally {
    closeSync(fd);
  }
}

function linkName(hook: Hook): string {
  return hook.program === "loopback" ? LOOPBACK_LINK : egressLink(hook.ifindex);
}
