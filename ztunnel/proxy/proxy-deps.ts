/** What every listener of every pod receives. Built once in `app.ts`. */
import type { Clock } from "#core/base/clock.ts";
import type { HandleBackend } from "#core/handle/choose-handle.ts";
import type { HbonePool } from "#core/hbone/hbone-pool.ts";
import type { WorkloadCertificate } from "#core/identity/certificate.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { Workload } from "#core/model/workload.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { MeshState } from "#core/state/mesh-state.ts";
import type { ConnectionLog } from "./connection-log.ts";
import type { ConnectionRegistry } from "./connection-registry.ts";
import type { LocalPod } from "./local-workload.ts";
import type { ProxyMetrics } from "./metrics.ts";
import type { PodSockets } from "./pod-sockets.ts";
import type { WaitingRoom } from "./waiting-room.ts";
import type { HandshakeLimits } from "#core/hbone/handshake-limiter.ts";

export interface ProxyOptions {
  /** Name of the node whose pods are served. */
  readonly node: string;
  readonly network: string;
  /** Ours first, then aliases whose peers are believed. */
  readonly trustDomains: readonly string[];
  /** Bounds in milliseconds: workload record (O5), certificate (O8), missing policy (I5), TCP connect (O9, I7). */
  readonly workloadWaitMs: number;
  readonly certificateWaitMs: number;
  readonly policyHoldMs: number;
  /** How long a connection waits for a waypoint that is bound and not ready. */
  readonly waypointWaitMs: number;
  readonly connectTimeoutMs: number;
  /** The whole of O9: all dials and handshakes until the CONNECT is on its way. */
  readonly tunnelTimeoutMs: number;
  readonly handshakes: HandshakeLimits;
  /** Connections and tunnels at once; beyond it new ones are reset, while there are descriptors for those that run. */
  readonly maxConnections: number;
  /** Same-node connections skip the tunnel, after the same authorization. */
  readonly shortCircuit: boolean;
}

/** The part of the certificate manager that connections use. */
export interface CertificateSource {
  current(identity: SpiffeId): WorkloadCertificate | undefined;
  fetch(
    identity: SpiffeId,
    priority: "connection" | "warmup",
    signal: AbortSignal,
  ): Promise<WorkloadCertificate>;
}

/** A pod of this node as the proxies see it. */
export interface PodContext {
  readonly pod: LocalPod;
  readonly sockets: PodSockets;
  readonly pool: HbonePool;
  /** Fires when the pod is removed or this process ends. */
  readonly signal: AbortSignal;
  readonly deps: ProxyDeps;
}

/** Pods served by this process. */
export interface LocalPods {
  /** The pod that IS this workload (namespace, name, account); undefined when it is not ours. */
  byWorkload(workload: Workload): PodContext | undefined;
}

export interface ProxyDeps {
  readonly options: ProxyOptions;
  readonly state: MeshState;
  readonly certificates: CertificateSource;
  readonly backend: HandleBackend;
  readonly registry: ConnectionRegistry;
  readonly waypointRoom: WaitingRoom;
  readonly connectionLog: ConnectionLog;
  readonly metrics: ProxyMetrics;
  readonly pods: LocalPods;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
}
