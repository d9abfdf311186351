/** Pure. Where something can be reached, in the terms of workload discovery. */
import type { Cidr } from "../net/cidr.ts";
import type { IpAddress } from "../net/ip.ts";

/** A single address on a named network; the default network is the empty string. */
export interface NetworkAddress {
  readonly network: string;
  readonly ip: IpAddress;
}

/** A virtual address block of a service. */
export interface NetworkCidr {
  readonly network: string;
  readonly cidr: Cidr;
}

export interface NamespacedHostname {
  readonly namespace: string;
  readonly hostname: string;
}

/** Reference to a waypoint or network gateway. */
export interface GatewayAddress {
  readonly destination:
    | { readonly kind: "hostname"; readonly name: NamespacedHostname }
    | { readonly kind: "address"; readonly address: NetworkAddress };
  readonly hboneMtlsPort: number;
}

/** Index key `network/ip`, also the alias form of on-demand xDS. */
export function networkAddressKey(address: NetworkAddress): string {
  return `${address.network}/${address.ip}`;
}
