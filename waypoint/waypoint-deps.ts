/** What the proxy receives from the process around it (types only). Made once in `app.ts`. */
import type { Clock } from "#core/base/clock.ts";
import type { WatchValue } from "#core/base/watch-value.ts";
import type { HandleBackend } from "#core/handle/choose-handle.ts";
import type { WorkloadCertificate } from "#core/identity/certificate.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { MeshState } from "#core/state/mesh-state.ts";
import type { Registry } from "prom-client";

export interface WaypointOptions {
  readonly namespace: string;
  readonly gateway: string;
  /** Of this waypoint: what destinations exempt, and what its callers expect. */
  readonly identity: SpiffeId;
  readonly network: string;
  readonly clusterId: string;
  readonly node: string;
  /** Ours first, then aliases whose peers are believed. */
  readonly trustDomains: readonly string[];
  readonly port: number;
  /** Bound of each dial. */
  readonly connectTimeoutMs: number;
}

/** The waypoint's own certificate. */
export interface OwnCertificate {
  /** In force and valid now. */
  current(): WorkloadCertificate | undefined;
}

export interface WaypointDeps {
  readonly options: WaypointOptions;
  /** Workloads and services. */
  readonly mesh: MeshState;
  /** Undefined: nothing is bound. Listeners are told of each switch, before the controller hears that it is in force. */
  readonly config: WatchValue<WaypointConfig | undefined>;
  readonly certificate: OwnCertificate;
  readonly backend: HandleBackend;
  readonly metrics: Registry;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
}

/** A proxy that listens. */
export interface WaypointServer {
  readonly port: number;
  /** Takes no new tunnels, tells callers to go elsewhere (GOAWAY, `connection: close`), resolves when the last request has ended. */
  drain(): Promise<void>;
  /** Ends everything now. */
  close(reason: string): Promise<void>;
}
