/** The steps by which capture is taken away (capture-plan.ts has their order and the condition). */
import { unreachable } from "#core/base/invariant.ts";
import type { Attacher, PodContext } from "./attachment.ts";
import { egressHook, LOOPBACK_HOOK } from "./attachment.ts";
import type { ReleaseStep } from "./capture-plan.ts";
import { readDevices } from "./devices.ts";
import { egressLink, STEER_LINK } from "./pins.ts";
import { removeRouting } from "./routing.ts";

export function release(attacher: Attacher, pod: PodContext, steps: readonly ReleaseStep[]): void {
  for (const step of steps) releaseStep(attacher, pod, step);
}

function releaseStep(attacher: Attacher, pod: PodContext, step: ReleaseStep): void {
  switch (step) {
    case "egress":
      for (const device of readDevices(pod.netns).captured) attacher.detach(pod, egressHook(device));
      for (const ifindex of pod.pins.egressLinks()) pod.pins.removePin(egressLink(ifindex));
      return;
    case "steer":
      pod.pins.removePin(STEER_LINK);
      return;
    case "loopback":
      attacher.detach(pod, LOOPBACK_HOOK);
      return;
    case "routing":
      removeRouting(pod.netns);
      return;
    case "pins":
      pod.pins.remove();
      return;
    default:
      unreachable(step);
  }
}
