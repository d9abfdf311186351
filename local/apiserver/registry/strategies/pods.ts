/** Pods: defaults, what may change later, quality of service class. */
import type { V1Pod, V1PodSpec } from "@kubernetes/client-node";
import { forbiddenField, required } from "../../http/status-error.ts";
import { type ApiObject, clone, deepEqual, dig, digList, type JsonMap } from "../../object.ts";
import type { PodSpec } from "../../../kubelet/pod-types.ts";
import { qosClass } from "../../../kubelet/resources.ts";
import type { Strategy } from "../strategy.ts";
import { defaultPodSpec, podSpecProblems } from "./pod-template.ts";

const podOf = (object: ApiObject): V1Pod => object as unknown as V1Pod;

const IMMUTABLE =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`," +
  "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

export const podStrategy: Strategy = {
  statusTakesMetadata: true,
  defaults: (object) => {
    const { spec } = podOf(object);
    if (spec === undefined) return;
    defaultPodSpec(spec);
    spec.enableServiceLinks ??= true;
  },
  onCreate: (object) => {
    object.status = { phase: "Pending", qosClass: qosClass(object.spec as PodSpec) };
  },
  validate: (object, old) => {
    const { spec } = podOf(object);
    if (spec === undefined) return [required("spec")];
    const problems = podSpecProblems(spec, "spec");
    const before = old === undefined ? undefined : podOf(old).spec;
    if (before !== undefined && !deepEqual(fixedPart(spec), fixedPart(before)))
      problems.push(forbiddenField("spec", IMMUTABLE));
    return problems;
  },
};

/** The pod spec without what an update may change. `nodeName` is only ever written through `pods/binding`. */
function fixedPart(spec: V1PodSpec): unknown {
  const copy = clone(spec);
  for (const container of [...copy.containers, ...(copy.initContainers ?? [])]) delete container.image;
  delete copy.tolerations;
  delete copy.activeDeadlineSeconds;
  return copy;
}

/** Binding is the one write that may set the node. */
export function boundTo(pod: ApiObject, node: string, now: string): ApiObject {
  const next = clone(pod);
  const { spec } = podOf(next);
  if (spec !== undefined) spec.nodeName = node;
  return withCondition(next, { type: "PodScheduled", status: "True", lastTransitionTime: now });
}

/** The pod with one condition set; the others stay. */
export function withCondition(pod: ApiObject, condition: JsonMap & { readonly type: string }): ApiObject {
  const others = digList(pod.status, "conditions").filter((known) => dig(known, "type") !== condition.type);
  return { ...pod, status: { ...(pod.status as JsonMap | undefined), conditions: [...others, condition] } };
}
