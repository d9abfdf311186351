/**
 * Pure. May this pod be part of the mesh? One decision for the node agent (capture it?) and for the CA
 * (may a node hold its identity?), so that the two never differ.
 */
import {
  ANNOTATION_MIRROR_POD,
  ANNOTATION_SIDECAR_STATUS,
  LABEL_DATAPLANE_MODE,
} from "../model/well-known.ts";

type StringMap = Readonly<Record<string, string>>;

export interface EnrolmentPod {
  readonly namespace: string;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  readonly hostNetwork: boolean;
  /** `status.phase`; "" when not known yet. */
  readonly phase: string;
  /** `spec.serviceAccountName`; "" for mirror pods: no identity. */
  readonly serviceAccount: string;
}

export interface EnrolmentNamespace {
  readonly name: string;
  readonly labels: StringMap;
}

export interface EnrolmentOptions {
  /**
   * Where the mesh itself runs. Its pods are never enrolled: a ztunnel, agent or controller that is captured waits for
   * itself, and whoever may label this namespace would cut the mesh off from its own control plane.
   */
  readonly systemNamespace: string;
  /** Namespaces whose pods are never enrolled, whatever their labels say. */
  readonly excludedNamespaces: readonly string[];
}

export type EnrolmentSkipReason =
  | "system-namespace"
  | "excluded-namespace"
  | "host-network"
  | "mirror-pod"
  | "sidecar"
  | "no-service-account"
  | "terminal"
  | "opted-out"
  | "not-selected";

export type EnrolmentDecision =
  | { readonly kind: "enrol" }
  | { readonly kind: "skip"; readonly reason: EnrolmentSkipReason };

/** `namespace` is undefined while it is not known yet; then only the pod's own label can enrol it. */
export function decideEnrolment(
  pod: EnrolmentPod,
  namespace: EnrolmentNamespace | undefined,
  options: EnrolmentOptions,
): EnrolmentDecision {
  const reason = ineligible(pod, options) ?? unselected(pod, namespace);
  return reason === undefined ? { kind: "enrol" } : { kind: "skip", reason };
}

/** What no label can overrule. */
function ineligible(pod: EnrolmentPod, options: EnrolmentOptions): EnrolmentSkipReason | undefined {
  if (pod.namespace === options.systemNamespace) return "system-namespace";
  if (options.excludedNamespaces.includes(pod.namespace)) return "excluded-namespace";
  if (pod.hostNetwork) return "host-network";
  if (Object.hasOwn(pod.annotations, ANNOTATION_MIRROR_POD)) return "mirror-pod";
  if (Object.hasOwn(pod.annotations, ANNOTATION_SIDECAR_STATUS)) return "sidecar";
  if (pod.serviceAccount === "") return "no-service-account";
  return pod.phase === "Succeeded" || pod.phase === "Failed" ? "terminal" : undefined;
}

/** The pod's label beats its namespace's. */
function unselected(
  pod: EnrolmentPod,
  namespace: EnrolmentNamespace | undefined,
): EnrolmentSkipReason | undefined {
  if (asksForMesh(pod, namespace)) return undefined;
  return label(pod.labels) === "none" ? "opted-out" : "not-selected";
}

/** Whether labels ask for the mesh: then a refusal is worth a word. */
export function asksForMesh(
  pod: Pick<EnrolmentPod, "labels">,
  namespace: EnrolmentNamespace | undefined,
): boolean {
  const own = label(pod.labels);
  if (own === "ambient") return true;
  return own !== "none" && namespace !== undefined && label(namespace.labels) === "ambient";
}

function label(labels: StringMap): string | undefined {
  return Object.hasOwn(labels, LABEL_DATAPLANE_MODE) ? labels[LABEL_DATAPLANE_MODE] : undefined;
}
