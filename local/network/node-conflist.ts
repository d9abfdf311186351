/** Pure. The CNI configuration that a node starts with: the reference plugins, dual stack; the mesh appends itself later. */
import type { NodeAddresses } from "./addresses.ts";

/**
 * `bridge` when the kernel shows bridged packets to conntrack (br_netfilter), else `ptp`: without it the answers of a service's
 * endpoint on the same node would pass by the translation.
 */
export function conflistText(node: NodeAddresses, bridgeNetfilter: boolean): string {
  const ipam = {
    type: "host-local",
    dataDir: "/run/cni/networks",
    ranges: [[{ subnet: node.podCidr }], [{ subnet: node.podCidr6 }]],
  };
  const bridge = {
    type: "bridge",
    bridge: "cni0",
    isGateway: true,
    isDefaultGateway: true,
    hairpinMode: true,
    ipMasq: false,
    mtu: 1500,
    ipam,
  };
  const ptp = {
    type: "ptp",
    ipMasq: false,
    mtu: 1500,
    ipam: { ...ipam, routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }] },
  };
  const list = { cniVersion: "1.0.0", name: "ambit-local", plugins: [bridgeNetfilter ? bridge : ptp] };
  return `${JSON.stringify(list, undefined, 2)}\n`;
}
