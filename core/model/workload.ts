/** Pure. One runnable endpoint, usually a pod (Workload of Istio's workload.proto). */
import type { IpAddress } from "../net/ip.ts";
import type { GatewayAddress } from "./address.ts";
import type { PolicyKey, ServiceKey, WorkloadUid } from "./ids.ts";
import type { Locality } from "./locality.ts";
import { type SpiffeId, spiffeId } from "./spiffe-id.ts";

export type TunnelProtocol = "none" | "hbone";
export type WorkloadStatus = "healthy" | "unhealthy";
export type WorkloadType = "deployment" | "cronjob" | "pod" | "job";
export type NetworkMode = "standard" | "host-network";

export interface ApplicationTunnel {
  readonly protocol: "none" | "proxy";
  /** 0 when the original port is kept. */
  readonly port: number;
}

/** Ports of one service on one workload: service port to the workload's own port. */
export type ServicePorts = ReadonlyMap<number, number>;

export interface Workload {
  readonly uid: WorkloadUid;
  /** Pod name. */
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly IpAddress[];
  readonly network: string;
  readonly tunnelProtocol: TunnelProtocol;
  readonly trustDomain: string;
  /** Never defaulted here: an empty account is no identity, since mirror pods have one. */
  readonly serviceAccount: string;
  readonly waypoint: GatewayAddress | undefined;
  readonly networkGateway: GatewayAddress | undefined;
  readonly node: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly workloadType: WorkloadType;
  /** Name of the owner, such as the Deployment. */
  readonly workloadName: string;
  readonly nativeTunnel: boolean;
  readonly authorizationPolicies: readonly PolicyKey[];
  readonly status: WorkloadStatus;
  readonly clusterId: string;
  /** Resolved by DNS when there is no address. */
  readonly hostname: string;
  readonly services: ReadonlyMap<ServiceKey, ServicePorts>;
  readonly applicationTunnel: ApplicationTunnel | undefined;
  readonly locality: Locality;
  readonly networkMode: NetworkMode;
  /**
   * Own ports that their owner keeps from automatic waypoints: they count as declared TCP where no service declares HTTP. Ascending.
   */
  readonly excludedPorts: readonly number[];
  /** Load-balancing weight. */
  readonly capacity: number;
}

/** The identity that the workload's certificate must carry; undefined for an empty account. */
export function workloadIdentity(workload: Workload): SpiffeId | undefined {
  const { trustDomain, namespace, serviceAccount } = workload;
  return serviceAccount === "" ? undefined : spiffeId({ trustDomain, namespace, serviceAccount });
}
