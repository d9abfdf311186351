/**
 * Which identities this node holds certificates for: those of its pods, from the moment that both the node agent and the
 * controller know the pod until its last pod is gone. Prefetching hides the CA's latency from the first connection.
 */
import { describeError } from "#core/runtime/errors.ts";
import type { PodUid, WorkloadUid } from "#core/model/ids.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { workloadIdentity } from "#core/model/workload.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { findLocalWorkload, type LocalPod } from "../proxy/local-workload.ts";
import type { CertificateSource } from "../proxy/proxy-deps.ts";
import type { MeshState, StateChange } from "#core/state/mesh-state.ts";

export interface IdentityKeeperDeps {
  readonly state: MeshState;
  readonly certificates: CertificateSource & { forget(identity: SpiffeId): void };
  readonly log: Logger;
  readonly node: string;
  /** Pods served or pending now. */
  pods(): readonly LocalPod[];
}

export class IdentityKeeper {
  readonly #deps: IdentityKeeperDeps;
  readonly #byPod = new Map<PodUid, SpiffeId>();
  readonly #signal: AbortSignal;

  constructor(deps: IdentityKeeperDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
    const unsubscribe = deps.state.subscribe((change) => {
      if (this.#concerns(change)) this.refresh();
    });
    signal.addEventListener("abort", unsubscribe, { once: true });
  }

  /** To be called whenever pods come or go. */
  refresh(): void {
    const { state, node } = this.#deps;
    const before = new Set(this.#byPod.values());
    const pods = this.#deps.pods();
    const alive = new Set(pods.map((pod) => pod.uid));
    for (const uid of this.#byPod.keys()) if (!alive.has(uid)) this.#byPod.delete(uid);
    for (const pod of pods) {
      const workload = findLocalWorkload(state, pod, node);
      const identity = workload === undefined ? undefined : workloadIdentity(workload);
      if (identity !== undefined) this.#byPod.set(pod.uid, identity);
    }
    const after = new Set(this.#byPod.values());
    for (const identity of after.difference(before)) this.#warm(identity);
    for (const identity of before.difference(after)) this.#deps.certificates.forget(identity);
  }

  #warm(identity: SpiffeId): void {
    const { certificates, log } = this.#deps;
    spawn(log, "certificate-warmup", async () => {
      try {
        await certificates.fetch(identity, "warmup", this.#signal);
      } catch (error) {
        log.debug({ identity, error: describeError(error) }, "certificate not there yet");
      }
    });
  }

  /** Only workloads of this node can change an identity of this node. */
  #concerns(change: StateChange): boolean {
    const isOurs = (uid: WorkloadUid): boolean => {
      const node = this.#deps.state.workloads.get(uid)?.node;
      return node === this.#deps.node || node === "";
    };
    return change.workloads.values().some(isOurs);
  }
}
