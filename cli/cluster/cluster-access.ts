/** What commands need of a Kubernetes cluster. Implemented by `kube-access.ts`, and by fakes in tests. */
import type { ObjectAccess } from "./object-access.ts";
import type { PodTransport } from "./port-forward.ts";

export interface PodRef {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly ready: boolean;
  readonly running: boolean;
  /** The controlling owner: `DaemonSet/ztunnel`, `ReplicaSet/ambit-controller-5d9c`; empty if there is none. */
  readonly owner: string;
}

export interface ClusterAccess {
  readonly transport: PodTransport;
  readonly objects: ObjectAccess;
  /** Pods of a namespace, by name. */
  listPods(namespace: string): Promise<readonly PodRef[]>;
  getPod(namespace: string, name: string): Promise<PodRef | undefined>;
}
