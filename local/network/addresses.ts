/** Pure. The addresses of a local cluster. All of them live inside its own network namespaces, so every cluster uses the same. */
import { type IpAddress, ip } from "#core/net/ip.ts";

export const SERVICE_CIDR = "10.96.0.0/16";
export const SERVICE_CIDR_V6 = "fd96::/112";
/** Service `kubernetes`, and cluster DNS: held by every node's loopback device, never translated. */
export const API_VIPS: readonly IpAddress[] = [ip("10.96.0.1"), ip("fd96::1")];
export const DNS_VIPS: readonly IpAddress[] = [ip("10.96.0.10"), ip("fd96::a")];
/** Where DNS answers on every node beside its service address: what the EndpointSlice of `kube-dns` names. Nobody else's address. */
export const DNS_ENDPOINTS: readonly IpAddress[] = [ip("169.254.20.10"), ip("fd30::ffff:53")];
export const CLUSTER_DOMAIN = "cluster.local";
/** Port of the API on every node's own addresses. */
export const NODE_API_PORT = 6443;
export const MAX_NODES = 200;

export interface NodeAddresses {
  /** 1, 2, ... */
  readonly index: number;
  readonly ip: IpAddress;
  readonly ip6: IpAddress;
  readonly podCidr: string;
  readonly podCidr6: string;
}

export function nodeAddresses(index: number): NodeAddresses {
  if (index < 1 || index > MAX_NODES)
    throw new Error(`a local cluster has 1 to ${MAX_NODES} nodes, not ${index}`);
  const host = index + 10;
  return {
    index,
    ip: ip(`172.30.0.${host}`),
    ip6: ip(`fd30::${host.toString(16)}`),
    podCidr: `10.244.${index}.0/24`,
    podCidr6: `fd24:0:0:${index.toString(16)}::/64`,
  };
}
