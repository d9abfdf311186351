/**
 * Follows a pod's devices and addresses: programs vanish with their device, and a device that comes back without them
 * would let traffic out. Every event leads to the same look at the present state, so that lost events cost nothing.
 */
import { closeSync } from "node:fs";
import { pollFd } from "#core/linux/libc.ts";
import { netlinkListenerFd, receiveEvents } from "#core/linux/netlink.ts";
import { LINK_AND_ADDRESS_GROUPS } from "#core/linux/rtnetlink.ts";
import { isErrno } from "#core/linux/system-call-error.ts";
import { describeError } from "#core/runtime/errors.ts";
import { egressHook, type PodContext } from "./attachment.ts";
import type { CaptureTarget, DeviceEvent, DeviceWatch } from "./capture.ts";
import { readDevices } from "./devices.ts";
import { podAddresses } from "./enrol.ts";
import { egressLink, PodPins } from "./pins.ts";
import { syncAddresses } from "./pod-maps.ts";
import type { VerifyDeps } from "./verify.ts";

export function watchDevices(
  deps: VerifyDeps,
  target: CaptureTarget,
  onEvent: (event: DeviceEvent) => void,
): DeviceWatch {
  const pod = { pins: new PodPins(deps.bpffsDir, target.podUid), netns: target.netns };
  const look = (): void => {
    try {
      followDevices(deps, pod, onEvent);
      followAddresses(pod, target, onEvent);
    } catch (error) {
      onEvent({ kind: "failed", message: describeError(error) });
    }
  };
  const fd = netlinkListenerFd(target.netns, LINK_AND_ADDRESS_GROUPS);
  const poll = pollFd(fd, { readable: true }, () => {
    skipEvents(fd);
    if (pod.pins.exists()) look();
  });
  poll.unref();
  look();
  let open = true;
  return {
    close: () => {
      if (!open) return;
      open = false;
      poll.close();
      closeSync(fd);
    },
  };
}

function followDevices(deps: VerifyDeps, pod: PodContext, onEvent: (event: DeviceEvent) => void): void {
  const { captured, unsupported } = readDevices(pod.netns);
  for (const device of captured) {
    const hook = egressHook(device);
    if (deps.attacher.inspect(pod, hook).kind !== "missing") continue;
    deps.attacher.attach(pod, hook);
    onEvent({ kind: "attached", device: device.name, ifindex: device.ifindex });
  }
  for (const ifindex of pod.pins.egressLinks()) {
    if (!captured.some((device) => device.ifindex === ifindex)) pod.pins.removePin(egressLink(ifindex));
  }
  for (const { name } of unsupported)
    onEvent({ kind: "failed", message: `device ${name} has no Ethernet header: it cannot be captured` });
}

function followAddresses(
  pod: PodContext,
  target: CaptureTarget,
  onEvent: (event: DeviceEvent) => void,
): void {
  const { added, removed } = syncAddresses(pod.pins, "pod_ips", podAddresses(target));
  for (const ip of added) onEvent({ kind: "address-added", ip });
  for (const ip of removed) onEvent({ kind: "address-removed", ip });
}

/** Empties the queue; ENOBUFS says that events were lost, which does not matter here. */
function skipEvents(fd: number): void {
  for (;;) {
    try {
      receiveEvents(fd);
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return;
      if (!isErrno(error, "ENOBUFS", "EINTR")) throw error;
    }
  }
}
