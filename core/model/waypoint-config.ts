/** Pure. Everything that one waypoint needs to know besides addresses: one immutable snapshot, switched as a whole. */
import type { PolicyKey, ServiceKey, WorkloadUid } from "./ids.ts";
import type { RequestPolicy } from "./request-policy.ts";

/** meshConfig.pathNormalization. */
export type PathNormalization = "none" | "base" | "merge-slashes" | "decode-and-merge-slashes";

export interface BoundService {
  readonly service: ServiceKey;
  /** Judged before an endpoint is chosen. */
  readonly policies: readonly PolicyKey[];
}

export interface BoundWorkload {
  readonly workload: WorkloadUid;
  /** Judged for this endpoint, whichever way it was reached. */
  readonly policies: readonly PolicyKey[];
}

export interface WaypointConfig {
  /** `<namespace>/<gateway>`: the resource's name. */
  readonly name: string;
  readonly automatic: boolean;
  readonly pathNormalization: PathNormalization;
  /** Adds `x-forwarded-client-cert` to every request, with the waypoint's identity and the caller's. */
  readonly clientCertField: boolean;
  readonly services: readonly BoundService[];
  readonly workloads: readonly BoundWorkload[];
  /** Every policy that is named above, once. A name without a policy refuses. */
  readonly policies: readonly RequestPolicy[];
}
