/**
 * Step O5: who is the pod whose namespace this listener lives in? The node agent names it (ZDS), the controller
 * describes it (WDS); only both together give an identity. Waits are bounded; an empty account is no identity.
 */
import type { PodUid } from "#core/model/ids.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import type { MeshState, MeshView } from "#core/state/mesh-state.ts";
import { awaitState } from "#core/state/await-state.ts";

/** A pod as the node agent announces it. */
export interface LocalPod {
  readonly uid: PodUid;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

export type LocalWorkload =
  | { readonly kind: "known"; readonly workload: Workload; readonly identity: SpiffeId }
  | { readonly kind: "unknown"; readonly reason: "source-unknown" | "source-has-no-identity" };

/** Pure. The workload record of a pod: same namespace, name and account, and on this node. */
export function findLocalWorkload(view: MeshView, pod: LocalPod, node: string): Workload | undefined {
  return view.workloads
    .byPodName(pod.namespace, pod.name)
    .find((w) => w.serviceAccount === pod.serviceAccount && (w.node === node || w.node === ""));
}

/** Waits at most `ms` for the record. */
export async function awaitLocalWorkload(
  state: MeshState,
  pod: LocalPod,
  node: string,
  limits: { readonly ms: number; readonly signal: AbortSignal },
): Promise<LocalWorkload> {
  const workload = await awaitState(state, limits, () => findLocalWorkload(state, pod, node));
  if (workload === undefined) return { kind: "unknown", reason: "source-unknown" };
  const identity = workloadIdentity(workload);
  if (identity === undefined) return { kind: "unknown", reason: "source-has-no-identity" };
  return { kind: "known", workload, identity };
}
