/** New programs into the live attachments of a pod, all maps kept: captured sockets stay captured. */
import { updateLink } from "#core/linux/bpf.ts";
import { egressHook, LOOPBACK_HOOK, type PodContext } from "./attachment.ts";
import type { CaptureTarget } from "./capture.ts";
import { readDevices } from "./devices.ts";
import { POD_PROGRAMS } from "./kernel-names.ts";
import { PodPins, STEER_LINK } from "./pins.ts";
import { CAPTURE_BUILD, loadBesidePinned } from "./pod-programs.ts";
import type { VerifyDeps } from "./verify.ts";

export function upgradePrograms(deps: VerifyDeps, target: CaptureTarget): void {
  const pins = new PodPins(deps.bpffsDir, target.podUid);
  const pod: PodContext = { pins, netns: target.netns };
  const fresh = loadBesidePinned(pins, deps.probes);
  try {
    const program = (name: string): number => fresh.programs.get(name) ?? -1;
    const hooks = [LOOPBACK_HOOK, ...readDevices(target.netns).captured.map(egressHook)];
    for (const hook of hooks) deps.attacher.replaceProgram(pod, hook, program(hook.program));
    pins.withLink(STEER_LINK, (link) => updateLink(link, program("steer")));
    for (const name of POD_PROGRAMS) pins.pinProgram(name, program(name));
    pins.setBuild(CAPTURE_BUILD);
  } finally {
    fresh.close();
  }
}
