/**
 * The detector: finds what others did to a pod's capture (programs in front of ours, removed links, filters, rules,
 * sysctls, addresses) and puts it right. Run it now and then: everything of a pod is read in a few milliseconds.
 */
import { describeError } from "#core/runtime/errors.ts";
import { type Attacher, egressHook, type Hook, LOOPBACK_HOOK, type PodContext } from "./attachment.ts";
import type { AttachmentProblem, CaptureTarget, VerifyOutcome } from "./capture.ts";
import { readDevices } from "./devices.ts";
import { ensureSteer, podAddresses } from "./enrol.ts";
import { PodPins } from "./pins.ts";
import { syncAddresses } from "./pod-maps.ts";
import { loadBesidePinned } from "./pod-programs.ts";
import { ensureRouting } from "./routing.ts";

export interface VerifyDeps {
  readonly attacher: Attacher;
  readonly bpffsDir: string;
  readonly probes: number;
}

interface Finding {
  readonly problem: AttachmentProblem;
  readonly repaired: boolean;
}

export function verifyAttachment(deps: VerifyDeps, target: CaptureTarget): VerifyOutcome {
  const pins = new PodPins(deps.bpffsDir, target.podUid);
  if (!pins.exists() || !pins.isLoaded()) return { kind: "not-enrolled" };
  const pod = { pins, netns: target.netns };
  const findings = [...checkPod(pod, target), ...checkHooks(deps, pod)];
  if (findings.length === 0) return { kind: "intact" };
  const lasting = findings.filter((f) => !f.repaired);
  if (lasting.length > 0) return { kind: "broken", problems: lasting.map((f) => f.problem) };
  return { kind: "repaired", problems: findings.map((f) => f.problem) };
}

function checkPod(pod: PodContext, target: CaptureTarget): readonly Finding[] {
  const repaired = (problem: AttachmentProblem): Finding => ({ problem, repaired: true });
  const findings = ensureRouting(pod.netns).map(repaired);
  const { added } = syncAddresses(pod.pins, "pod_ips", podAddresses(target));
  for (const ip of added)
    findings.push(repaired({ kind: "missing-address", message: `${ip} was not known` }));
  if (ensureSteer(pod)) findings.push(repaired({ kind: "missing", message: "steer was not attached" }));
  return findings;
}

function checkHooks(deps: VerifyDeps, pod: PodContext): readonly Finding[] {
  const { captured, unsupported } = readDevices(pod.netns);
  const hooks = [LOOPBACK_HOOK, ...captured.map(egressHook)];
  const findings = hooks.flatMap((hook) => checkHook(deps, pod, hook) ?? []);
  for (const { name } of unsupported) {
    const message = `device ${name} has no Ethernet header: traffic over it is not captured`;
    findings.push({ problem: { kind: "missing", device: name, message }, repaired: false });
  }
  return findings;
}

function checkHook(deps: VerifyDeps, pod: PodContext, hook: Hook): Finding | undefined {
  const found = deps.attacher.inspect(pod, hook);
  if (found.kind === "first") return undefined;
  const problem: AttachmentProblem =
    found.kind === "missing"
      ? {
          kind: "missing",
          device: hook.device,
          message: `${hook.program} was not attached to ${hook.device}`,
        }
      : {
          kind: "foreign-filter-before",
          device: hook.device,
          message: `${found.foreign} ran before ${hook.program} on ${hook.device}`,
        };
  try {
    if (found.kind === "missing") deps.attacher.attach(pod, hook);
    else moveToFront(deps, pod, hook);
    return { problem, repaired: deps.attacher.inspect(pod, hook).kind === "first" };
  } catch (error) {
    return {
      problem: { ...problem, message: `${problem.message}; ${describeError(error)}` },
      repaired: false,
    };
  }
}

function moveToFront(deps: VerifyDeps, pod: PodContext, hook: Hook): void {
  const fresh = loadBesidePinned(pod.pins, deps.probes);
  try {
    deps.attacher.moveToFront(pod, hook, fresh.programs.get(hook.program) ?? -1);
  } finally {
    fresh.close();
  }
}
