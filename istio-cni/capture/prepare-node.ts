/** Makes a node ready for capture and gives the agent its handle (`NodeCapture`). Safe to run again at any time. */
import { closeSync, existsSync, mkdirSync, readdirSync, rmdirSync, statfsSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { linkInfo } from "#core/linux/bpf.ts";
import { describeError } from "#core/runtime/errors.ts";
import { clsactAttacher } from "./attach-clsact.ts";
import { tcxAttacher } from "./attach-tcx.ts";
import type { Attacher } from "./attachment.ts";
import type {
  Attachment,
  CaptureTarget,
  EnrolledPod,
  NodeCapture,
  PodCaptureState,
  PrepareNodeOptions,
  PrepareNodeOutcome,
} from "./capture.ts";
import { watchDevices } from "./device-watch.ts";
import { enrolPod } from "./enrol.ts";
import { probeKernel } from "./kernel-probe.ts";
import { adoptListeners, holdListeners } from "./listener-map.ts";
import { nodeDirectory, PodPins, podsDirectory, STEER_LINK } from "./pins.ts";
import { readAddresses, readCounters, readFlags, readListeners, syncAddresses } from "./pod-maps.ts";
import { attachToKubelet, openProbeMap } from "./probe-exemption.ts";
import { destroyPreEnrolment, listPreEnrolment, type PreEnrolmentDeps } from "./pre-enrolment.ts";
import { selfTest } from "./self-test.ts";
import { CAPTURE_BUILD } from "./pod-programs.ts";
import { takeCensus } from "./socket-census.ts";
import { unEnrolPod } from "./un-enrol.ts";
import { upgradePrograms } from "./upgrade.ts";
import { verifyAttachment, type VerifyDeps } from "./verify.ts";

const BPF_FS_MAGIC = 0xcafe_4a11;

export function prepareNode(options: PrepareNodeOptions): PrepareNodeOutcome {
  const { bpffsDir } = options;
  if (!isBpffs(bpffsDir)) {
    const message = `${bpffsDir} is not a BPF file system: mount one there (mount -t bpf bpf ${bpffsDir})`;
    return { kind: "unsupported", message };
  }
  const kernel = probeKernel();
  if (kernel.kind === "unusable") {
    const message = `this kernel cannot capture (root and Linux 5.17 or later are needed): ${kernel.message}`;
    return { kind: "unsupported", message };
  }
  const wanted = options.attachment ?? "auto";
  const attachment = wanted === "auto" ? kernel.attachments[0] : wanted;
  if (attachment === undefined || !kernel.attachments.includes(attachment)) {
    const message = `attachment "${wanted}" does not work here: ${kernel.notes.join("; ")}`;
    return { kind: "unsupported", message };
  }
  for (const directory of [nodeDirectory(bpffsDir), podsDirectory(bpffsDir)])
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  const probes = openProbeMap(bpffsDir);
  const warnings = exemptProbes(options, probes);
  const attacher = attachment === "tcx" ? tcxAttacher : clsactAttacher;
  const exemption = options.kubeletCgroup !== undefined && warnings.length === 0 ? "kubelet-cgroup" : "none";
  return { kind: "ready", capture: nodeCapture({ attacher, bpffsDir, probes }, exemption), warnings };
}

function exemptProbes(options: PrepareNodeOptions, probes: number): readonly string[] {
  if (options.kubeletCgroup === undefined) return [];
  try {
    attachToKubelet(options.bpffsDir, options.kubeletCgroup, probes);
    return [];
  } catch (error) {
    return [`kubelet's probes will be captured like other traffic: ${describeError(error)}`];
  }
}

/** A pod keeps the attachment it was enrolled with until it is enrolled anew. */
function nodeCapture(deps: VerifyDeps, probeExemption: NodeCapture["probeExemption"]): NodeCapture {
  const pinsOf = (target: CaptureTarget): PodPins => new PodPins(deps.bpffsDir, target.podUid);
  const isLoaded = (target: CaptureTarget): boolean => pinsOf(target).isLoaded();
  const olderDeps = (target: CaptureTarget): PreEnrolmentDeps => ({
    pins: pinsOf(target),
    probes: deps.probes,
  });
  const depsOf = (target: CaptureTarget): VerifyDeps => {
    const pins = pinsOf(target);
    return pins.exists() ? { ...deps, attacher: attacherOf(pins) } : deps;
  };
  return {
    attachment: deps.attacher.kind,
    probeExemption,
    enrolPod: (target, options = {}) => enrolPod(depsOf(target), target, options),
    unEnrolPod: (target, options) => unEnrolPod(depsOf(target), target, options),
    forgetPod: (podUid) => new PodPins(deps.bpffsDir, podUid).remove(),
    findEnrolled: () => findEnrolled(deps.bpffsDir),
    forgetNode: () => removeEmpty(deps.bpffsDir),
    adoptListeners: (target, which) => adoptListeners(pinsOf(target), target, which),
    holdListeners: (target, ztunnelPid) => holdListeners(target, ztunnelPid),
    podCaptureState: (target) => podCaptureState(pinsOf(target), target),
    listPreEnrolment: (target) => (isLoaded(target) ? listPreEnrolment(olderDeps(target), target) : []),
    destroyPreEnrolment: (target, which = () => true) =>
      isLoaded(target) ? destroyPreEnrolment(olderDeps(target), target, which) : 0,
    verifyAttachment: (target) => verifyAttachment(depsOf(target), target),
    selfTest: (target) => selfTest(pinsOf(target), target),
    watchDevices: (target, onEvent) => watchDevices(depsOf(target), target, onEvent),
    hasOldPrograms: (target) => isLoaded(target) && pinsOf(target).build() !== CAPTURE_BUILD,
    upgradePrograms: (target) => upgradePrograms(depsOf(target), target),
    setExemptSources: (target, sources) => void syncAddresses(pinsOf(target), "exempt", sources),
    close: () => closeSync(deps.probes),
  };
}

/** Keeps what is not empty: a pod that could not be released still needs the node's map. */
function removeEmpty(bpffsDir: string): void {
  if (readdirSync(podsDirectory(bpffsDir)).length > 0) return;
  const node = nodeDirectory(bpffsDir);
  for (const pin of readdirSync(node)) unlinkSync(join(node, pin));
  for (const directory of [node, podsDirectory(bpffsDir), dirname(node)]) rmdirSync(directory);
}

function podCaptureState(pins: PodPins, target: CaptureTarget): PodCaptureState | undefined {
  if (!pins.exists() || !pins.isLoaded()) return undefined;
  const census = takeCensus(pins, target.netns);
  return {
    attachment: attachmentOf(pins),
    draining: readFlags(pins).drain,
    listeners: readListeners(pins),
    counters: readCounters(pins),
    capturedOutbound: census.capturedOutbound.length,
    capturedInbound: census.capturedInbound.length,
    podIps: readAddresses(pins, "pod_ips"),
  };
}

function findEnrolled(bpffsDir: string): readonly EnrolledPod[] {
  const directory = podsDirectory(bpffsDir);
  if (!existsSync(directory)) return [];
  return readdirSync(directory).map((podUid) => {
    const pins = new PodPins(bpffsDir, podUid);
    const target = pins.withLink(STEER_LINK, linkInfo)?.target ?? 0;
    return {
      podUid,
      attachment: attachmentOf(pins),
      netnsInode: target === 0 ? undefined : BigInt(target),
      complete: pins.isMarked("enrolled") && pins.isLoaded(),
    };
  });
}

function attachmentOf(pins: PodPins): Attachment {
  return pins.isMarked("clsact") ? "clsact" : "tcx";
}

function attacherOf(pins: PodPins): Attacher {
  return attachmentOf(pins) === "clsact" ? clsactAttacher : tcxAttacher;
}

function isBpffs(path: string): boolean {
  try {
    return statfsSync(path).type === BPF_FS_MAGIC;
  } catch {
    return false;
  }
}
