/** Enrolment of a pod: the steps of capture-plan.ts in order, each idempotent; a failure takes back what was made. */
import { ATTACH, createLink, linkInfo } from "#core/linux/bpf.ts";
import { closeSync } from "node:fs";
import { describeError } from "#core/runtime/errors.ts";
import type { Netns } from "#core/linux/netns.ts";
import { type Attacher, egressHook, type Hook, LOOPBACK_HOOK, type PodContext } from "./attachment.ts";
import type { CaptureTarget, EnrolOptions, EnrolOutcome, EnrolRefusal } from "./capture.ts";
import { ENROL_ORDER, type EnrolStep, mayHaveCaptured, undoAfter } from "./capture-plan.ts";
import { readDevices } from "./devices.ts";
import { adoptListeners } from "./listener-map.ts";
import { PodPins, STEER_LINK } from "./pins.ts";
import { readFlags, syncAddresses, writeFlags } from "./pod-maps.ts";
import { ensureLoaded } from "./pod-programs.ts";
import { release } from "./release.ts";
import { ensureRouting } from "./routing.ts";
import { selfTest } from "./self-test.ts";
import { capturedSockets, destroySockets, takeCensus } from "./socket-census.ts";

export interface EnrolDeps {
  readonly attacher: Attacher;
  readonly bpffsDir: string;
  /** Descriptor of the node's map of probe connections. */
  readonly probes: number;
}

interface StepFailure {
  readonly reason: EnrolRefusal;
  readonly message: string;
}

interface Attempt {
  readonly deps: EnrolDeps;
  readonly target: CaptureTarget;
  readonly options: EnrolOptions;
  readonly pod: PodContext;
}

export async function enrolPod(
  deps: EnrolDeps,
  target: CaptureTarget,
  options: EnrolOptions,
): Promise<EnrolOutcome> {
  const pins = new PodPins(deps.bpffsDir, target.podUid);
  const pod = { pins, netns: target.netns };
  const attempt: Attempt = { deps, target, options, pod };
  const again = pins.isMarked("enrolled") && steersHere(pod);
  for (const step of ENROL_ORDER) {
    const failure = await runStep(attempt, step);
    if (failure === undefined) continue;
    if (!again) abort(attempt, step);
    return { kind: "refused", reason: failure.reason, message: failure.message };
  }
  if (again) return { kind: "already-enrolled", attachment: deps.attacher.kind };
  const older = takeCensus(pins, target.netns).preEnrolment.length;
  return { kind: "enrolled", attachment: deps.attacher.kind, preEnrolmentConnections: older };
}

/** Whether `steer` is attached to this very namespace; the pod's sandbox may have been made anew. */
export function steersHere(pod: PodContext): boolean {
  return pod.pins.withLink(STEER_LINK, linkInfo)?.target === Number(pod.netns.inode & 0xffff_ffffn);
}

/** Attaches `steer` unless it is. */
export function ensureSteer(pod: PodContext): boolean {
  if (steersHere(pod)) return false;
  pod.pins.withProgram("steer", (program) => {
    const link = createLink(program, pod.netns.fd, ATTACH.skLookup);
    try {
      pod.pins.replacePin(STEER_LINK, link);
    } finally {
      closeSync(link);
    }
  });
  return true;
}

async function runStep(attempt: Attempt, step: EnrolStep): Promise<StepFailure | undefined> {
  if (attempt.options.signal?.aborted === true)
    return { reason: "kernel", message: "enrolment was cancelled" };
  try {
    return await PERFORM[step](attempt);
  } catch (error) {
    return { reason: "kernel", message: `${step}: ${describeError(error)}` };
  }
}

type StepResult = StepFailure | undefined;

const PERFORM: Readonly<Record<EnrolStep, (attempt: Attempt) => StepResult | Promise<StepResult>>> = {
  "check-devices": ({ target }) => checkDevices(target.netns),
  load: ({ deps, pod }) => {
    ensureLoaded(pod.pins, deps.probes);
    if (deps.attacher.kind === "clsact") pod.pins.mark("clsact");
    return undefined;
  },
  addresses: ({ options, pod, target }) => {
    syncAddresses(pod.pins, "pod_ips", podAddresses(target));
    writeFlags(pod.pins, {
      drain: false,
      hold: options.holdWithoutListener ?? false,
      forward: options.allowForwarding ?? false,
    });
    return undefined;
  },
  adopt: ({ pod, target }) => adopt(pod.pins, target),
  routing: ({ target }) => {
    ensureRouting(target.netns);
    return undefined;
  },
  loopback: ({ deps, pod }) => attachFirst(deps, pod, LOOPBACK_HOOK),
  steer: ({ pod }) => {
    ensureSteer(pod);
    return undefined;
  },
  egress: ({ deps, pod }) => attachEgress(deps, pod),
  "self-test": async ({ pod, target }) => {
    const outcome = await selfTest(pod.pins, target);
    return outcome.kind === "captured" ? undefined : { reason: "self-test-failed", message: outcome.message };
  },
  "mark-enrolled": ({ pod }) => {
    pod.pins.mark("enrolled");
    return undefined;
  },
};

/** Addresses of the pod: those that Kubernetes knows and those on its devices. */
export function podAddresses(target: CaptureTarget): CaptureTarget["ips"] {
  return [...new Set([...target.ips, ...readDevices(target.netns).addresses])].slice(0, 64);
}

function checkDevices(netns: Netns): StepFailure | undefined {
  const { captured, unsupported } = readDevices(netns);
  const names = unsupported.map((d) => d.name).join(", ");
  if (names !== "")
    return {
      reason: "unsupported-device",
      message: `device ${names} has no Ethernet header: traffic over it cannot be captured`,
    };
  if (captured.length > 0) return undefined;
  return { reason: "unsupported-device", message: "the pod has no network device yet" };
}

function adopt(pins: PodPins, target: CaptureTarget): StepFailure | undefined {
  const outcome = adoptListeners(pins, target, "any");
  if (outcome.kind === "adopted") return undefined;
  const reason = outcome.reason === "only-old-listeners" ? "no-listener" : outcome.reason;
  return { reason, message: outcome.message };
}

function attachEgress(deps: EnrolDeps, pod: PodContext): StepFailure | undefined {
  for (const device of readDevices(pod.netns).captured) {
    const failure = attachFirst(deps, pod, egressHook(device));
    if (failure !== undefined) return failure;
  }
  return undefined;
}

function attachFirst(deps: EnrolDeps, pod: PodContext, hook: Hook): StepFailure | undefined {
  deps.attacher.attach(pod, hook);
  const state = deps.attacher.inspect(pod, hook);
  if (state.kind === "first") return undefined;
  const what =
    state.kind === "behind" ? `${state.foreign} runs before capture` : "capture did not stay attached";
  return { reason: "foreign-filter", message: `${what} on ${hook.device} ${hook.direction}` };
}

/** Leaves nothing behind. Sockets flagged in the meantime end first: without the programs they would leave in clear. */
function abort(attempt: Attempt, step: EnrolStep): void {
  const { deps, target, pod } = attempt;
  if (mayHaveCaptured(step) && pod.pins.isLoaded()) {
    writeFlags(pod.pins, { ...readFlags(pod.pins), drain: true });
    destroySockets(target.netns, capturedSockets(takeCensus(pod.pins, target.netns)));
  }
  release(deps.attacher, pod, undoAfter(step));
}
