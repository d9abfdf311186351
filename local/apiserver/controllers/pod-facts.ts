/** Pure. What workload controllers ask about pods. */
import type { V1Pod, V1PodTemplateSpec } from "@kubernetes/client-node";
import { type ApiObject, clone, type JsonMap } from "../object.ts";
import { controllerOf, ownerReference } from "./controller-client.ts";

const podOf = (object: ApiObject): V1Pod => object as unknown as V1Pod;

export function ownedBy(owner: ApiObject): (object: ApiObject) => boolean {
  return (object) => controllerOf(object)?.uid === owner.metadata.uid;
}

/** Counts towards its workload: neither finished nor on its way out. */
export function isActive(pod: ApiObject): boolean {
  const phase = podOf(pod).status?.phase;
  return pod.metadata.deletionTimestamp === undefined && phase !== "Succeeded" && phase !== "Failed";
}

export function isReady(pod: ApiObject): boolean {
  return readySince(pod) !== undefined;
}

function readySince(pod: ApiObject): number | undefined {
  const condition = podOf(pod).status?.conditions?.find(
    ({ type, status }) => type === "Ready" && status === "True",
  );
  if (condition === undefined) return undefined;
  const since = Date.parse(String(condition.lastTransitionTime ?? ""));
  return Number.isNaN(since) ? 0 : since;
}

/** Ready for at least `minReadySeconds`. */
export function isAvailable(pod: ApiObject, minReadySeconds: number, nowMs: number): boolean {
  const since = readySince(pod);
  return since !== undefined && (minReadySeconds === 0 || nowMs - since >= minReadySeconds * 1000);
}

/** Which pods to give up first: unscheduled, then not ready, then the youngest. */
export function givenUpFirst(a: ApiObject, b: ApiObject): number {
  const rank = (pod: ApiObject): number =>
    (podOf(pod).spec?.nodeName ?? "") === "" ? 0 : isReady(pod) ? 2 : 1;
  const difference = rank(a) - rank(b);
  if (difference !== 0) return difference;
  return (b.metadata.creationTimestamp ?? "").localeCompare(a.metadata.creationTimestamp ?? "");
}

/** A pod of a workload's template. */
export function podFromTemplate(
  owner: ApiObject,
  template: V1PodTemplateSpec,
  labels: Readonly<Record<string, string>> = {},
): JsonMap {
  const { metadata = {}, spec } = clone(template);
  return {
    metadata: {
      generateName: `${owner.metadata.name}-`,
      labels: { ...metadata.labels, ...labels },
      ...(metadata.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ownerReferences: [ownerReference(owner)],
    },
    spec,
  };
}

/** `25%` of a count, or a number. */
export function portion(
  value: number | string | undefined,
  of: number,
  round: (x: number) => number,
): number {
  if (typeof value === "number") return value;
  const percent = /^(\d+)%$/.exec(value ?? "")?.[1];
  return percent === undefined ? 0 : round((Number(percent) * of) / 100);
}
