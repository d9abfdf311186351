/** Pure. Which application a pod belongs to, as people name it: the Deployment rather than its ReplicaSet. */
import type { PodObject } from "#core/k8s/object-types.ts";
import { LABEL_CANONICAL_NAME, LABEL_CANONICAL_REVISION } from "#core/model/well-known.ts";
import type { WorkloadType } from "#core/model/workload.ts";

export interface PodOwner {
  readonly type: WorkloadType;
  readonly name: string;
}

/** CronJob's controller names its jobs `<name>-<minutes since the epoch>`. */
const CRON_JOB = /^(.+)-\d{8,10}$/;

export function podOwner(pod: PodObject): PodOwner {
  const { owner } = pod;
  const hash = pod.metadata.labels["pod-template-hash"] ?? "";
  if (owner === undefined) return { type: "pod", name: pod.metadata.name };
  if (owner.kind === "ReplicaSet" && hash !== "" && owner.name.endsWith(`-${hash}`)) {
    return { type: "deployment", name: owner.name.slice(0, -hash.length - 1) };
  }
  if (owner.kind === "Job") {
    const cron = CRON_JOB.exec(owner.name)?.[1];
    return cron === undefined ? { type: "job", name: owner.name } : { type: "cronjob", name: cron };
  }
  return { type: "pod", name: owner.name };
}

/** Istio's order of labels. */
export function canonicalName(pod: PodObject, ownerName: string): string {
  const { labels } = pod.metadata;
  return labels[LABEL_CANONICAL_NAME] || labels["app.kubernetes.io/name"] || labels["app"] || ownerName;
}

export function canonicalRevision(pod: PodObject): string {
  const { labels } = pod.metadata;
  return (
    labels[LABEL_CANONICAL_REVISION] || labels["app.kubernetes.io/version"] || labels["version"] || "latest"
  );
}
