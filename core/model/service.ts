/** Pure. A named set of workloads with virtual addresses (Service of Istio's workload.proto). */
import type { GatewayAddress, NetworkAddress, NetworkCidr } from "./address.ts";
import type { SpiffeId } from "./spiffe-id.ts";

export type AppProtocol = "unknown" | "http11" | "http2" | "grpc" | "tcp" | "tls";

export interface ServicePort {
  readonly servicePort: number;
  /** 0: named port, resolved per workload. */
  readonly targetPort: number;
  readonly appProtocol: AppProtocol;
}

export type RoutingScope = "region" | "zone" | "subzone" | "node" | "cluster" | "network";

export interface LoadBalancing {
  readonly mode: "standard" | "strict" | "failover" | "passthrough";
  readonly routingPreferences: readonly RoutingScope[];
  readonly healthPolicy: "only-healthy" | "allow-all";
}

export type IpFamilies = "automatic" | "ipv4" | "ipv6" | "dual";

export interface WeightedWaypoint {
  readonly destination: GatewayAddress;
  readonly weight: number;
}

export interface Service {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  /** Empty for headless services. */
  readonly vips: readonly NetworkAddress[];
  readonly cidrVips: readonly NetworkCidr[];
  readonly ports: readonly ServicePort[];
  /** Identities accepted in addition to the workload's own. */
  readonly subjectAltNames: readonly SpiffeId[];
  readonly waypoint: GatewayAddress | undefined;
  readonly weightedWaypoints: readonly WeightedWaypoint[];
  readonly loadBalancing: LoadBalancing | undefined;
  readonly ipFamilies: IpFamilies;
  readonly canonical: boolean;
  readonly ingressUseWaypoint: boolean;
  readonly visibility: "public" | "namespace";
}
