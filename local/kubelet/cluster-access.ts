/**
 * What a kubelet needs from the cluster, as a port: the API in real life, files in tests of a node alone.
 * Everything is done with the node's own credentials.
 */
import type { PodObject, PodStatus } from "./pod-types.ts";
import type { LinkedService } from "./service-links.ts";

export interface PodListener {
  /** A pod of this node as it is now; called again for each change. */
  changed(pod: PodObject): void;
  /** The object is gone although the kubelet did not confirm its end. */
  gone(uid: string): void;
}

export interface PodEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export interface BoundToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

export interface ClusterAccess {
  /** Calls the listener for all present pods, then for changes, until `signal` fires. */
  watchPods(listener: PodListener, signal: AbortSignal): void;
  updateStatus(pod: PodObject, status: PodStatus): Promise<void>;
  /** The pod's processes and network are gone: lets the API forget it. */
  confirmDeleted(pod: PodObject): Promise<void>;
  /** Best effort: a lost event is logged, never an error. */
  recordEvent(pod: PodObject, event: PodEvent): void;
  /** Undefined when there is no such object. */
  configMap(namespace: string, name: string): Promise<ReadonlyMap<string, Buffer> | undefined>;
  secret(namespace: string, name: string): Promise<ReadonlyMap<string, Buffer> | undefined>;
  services(namespace: string): Promise<readonly LinkedService[]>;
  token(pod: PodObject, audience: string | undefined, expirationSeconds: number): Promise<BoundToken>;
}
