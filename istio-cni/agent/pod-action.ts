/** Pure. What a change of a pod, or of its namespace, means for its capture. */
import {
  asksForMesh,
  decideEnrolment,
  type EnrolmentOptions,
  type EnrolmentSkipReason,
} from "#core/authz/enrolment.ts";
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { ANNOTATION_REDIRECTION } from "#core/model/well-known.ts";
import { enrolmentNamespace, enrolmentPod } from "./pod-ref.ts";

export type PodAction =
  | { readonly kind: "nothing" }
  /** Labels ask for it, and it can never be captured. */
  | { readonly kind: "skip"; readonly reason: EnrolmentSkipReason }
  | { readonly kind: "join" }
  /** It should be captured and must not be; the sentence says what to do. */
  | { readonly kind: "refuse"; readonly message: string }
  | { readonly kind: "leave" }
  /** It is annotated as captured and is not: peers would open tunnels that nobody answers. */
  | { readonly kind: "withdraw" }
  | { readonly kind: "ended" };

export interface PodSituation {
  /** Undefined when the API no longer has it. */
  readonly pod: PodObject | undefined;
  readonly namespace: NamespaceObject | undefined;
  readonly captured: boolean;
  /** An earlier agent began to capture or to release it, and did not finish. */
  readonly interrupted?: boolean;
}

/** A foreign annotation captures nobody: what is captured is known from the pins. */
export function decidePodAction(situation: PodSituation, options: EnrolmentOptions): PodAction {
  const { pod, namespace, captured } = situation;
  if (pod === undefined || pod.phase === "Succeeded" || pod.phase === "Failed") {
    return { kind: captured ? "ended" : "nothing" };
  }
  // A pod that is going keeps what it has until its processes are gone.
  if (pod.metadata.deletionMs !== undefined) return { kind: "nothing" };
  const its = enrolmentNamespace(namespace);
  const decision = decideEnrolment(enrolmentPod(pod), its, options);
  if (decision.kind === "skip") {
    if (captured) return { kind: "leave" };
    return outside(pod, asksForMesh(pod.metadata, its) ? decision.reason : undefined);
  }
  if (isSettled(situation)) return { kind: "nothing" };
  if (pod.foreignProbeHosts.length === 0) return { kind: "join" };
  return { kind: "refuse", message: foreignProbesText(pod) };
}

/** Not captured and not to be captured; `reason`: why not, although labels ask for it. */
function outside(pod: PodObject, reason: EnrolmentSkipReason | undefined): PodAction {
  if (pod.metadata.annotations[ANNOTATION_REDIRECTION] !== undefined) return { kind: "withdraw" };
  return reason === undefined ? { kind: "nothing" } : { kind: "skip", reason };
}

function isSettled({ captured, interrupted = false }: PodSituation): boolean {
  return captured && !interrupted;
}

/** Why a pod with such probes is refused: the kubelet's requests pass every policy, so nobody may point them elsewhere. */
export function foreignProbesText(pod: PodObject): string {
  const hosts = pod.foreignProbeHosts.join(", ");
  return `a probe or lifecycle handler of the pod names another host (${hosts}); remove the host field`;
}
