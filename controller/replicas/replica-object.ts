/** Pure. A replica's Lease as it is read and written. */
import { type JsonObject, jsonNumber, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { KubeObject } from "#core/k8s/object-types.ts";
import { projectMeta } from "#core/k8s/project.ts";
import { type Parsed, problem } from "#core/base/parse-result.ts";
import { parseReport, type ReplicaReport } from "./replica-report.ts";

export interface ReplicaObject extends KubeObject {
  /** One process; "" when it has said good-bye. */
  readonly holder: string;
  /** Differs from write to write. Compared, never read: clocks of machines differ. */
  readonly renewTime: string;
  readonly durationMs: number;
  readonly reportText: string;
  readonly report: Parsed<ReplicaReport>;
}

/** A replica that has not renewed its Lease for this long, as seen by others, is gone. */
export const LEASE_MS = 15_000;
export const REPLICA_SELECTOR = "ambit.io/replica-of=ambit-controller";
const LABELS = { "ambit.io/replica-of": "ambit-controller", "app.kubernetes.io/part-of": "ambit" };
const ANNOTATION = "ambit.io/replica";
/** What another version may ask for, within reason. */
const [MIN_LEASE_MS, MAX_LEASE_MS] = [LEASE_MS, 60_000];

/** Never that of the election. */
export function replicaLeaseName(podName: string): string {
  return `ambit-replica-${podName}`;
}

/** Leases are of others, too. */
export function isReplica(object: KubeObject): boolean {
  return object.metadata.labels["ambit.io/replica-of"] === LABELS["ambit.io/replica-of"];
}

export function projectReplica(raw: unknown): ReplicaObject {
  const metadata = projectMeta(raw);
  const spec = jsonObject(jsonObject(raw)["spec"]);
  const { [ANNOTATION]: text, ...annotations } = metadata.annotations;
  const askedMs = (jsonNumber(spec["leaseDurationSeconds"]) ?? 0) * 1_000;
  return {
    metadata: { ...metadata, annotations },
    holder: jsonText(spec["holderIdentity"]),
    renewTime: jsonText(spec["renewTime"]),
    durationMs: Math.min(MAX_LEASE_MS, Math.max(MIN_LEASE_MS, askedMs)),
    reportText: text ?? "",
    report: text === undefined ? problem("", "is missing") : parseReport(text),
  };
}

export interface ReplicaWrite {
  readonly namespace: string;
  readonly podName: string;
  /** Its Lease goes with its pod; "" outside of pods. */
  readonly podUid: string;
  readonly holder: string;
  readonly renewTime: string;
  readonly report: string;
}

/** For server-side apply. */
export function replicaContent(write: ReplicaWrite): JsonObject {
  const { podName, podUid, holder, renewTime, report } = write;
  const owner = { apiVersion: "v1", kind: "Pod", name: podName, uid: podUid };
  return {
    metadata: {
      labels: LABELS,
      annotations: { [ANNOTATION]: report },
      ...(podUid !== "" && { ownerReferences: [owner] }),
    },
    spec: { holderIdentity: holder, leaseDurationSeconds: LEASE_MS / 1_000, renewTime },
  };
}
