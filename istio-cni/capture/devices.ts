/** The pod's devices and addresses as they are now. */
import { NETLINK_ROUTE, withNetlink } from "#core/linux/netlink.ts";
import type { Netns } from "#core/linux/netns.ts";
import { type Link, listAddresses, listLinks } from "#core/linux/rtnetlink.ts";
import { type IpAddress, isLoopback } from "#core/net/ip.ts";

export interface PodDevices {
  /** Devices whose egress is captured. */
  readonly captured: readonly Link[];
  /** Devices that carry IP without an Ethernet header, which capture cannot handle. */
  readonly unsupported: readonly Link[];
  readonly addresses: readonly IpAddress[];
}

/** Devices that a new namespace has from its modules; down and without addresses unless someone uses them. */
const FALLBACK_DEVICES = /^(tunl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|sit0|ip6tnl0|ip6gre0)$/;

export function readDevices(netns: Netns): PodDevices {
  return withNetlink(NETLINK_ROUTE, netns, (socket) => {
    const links = listLinks(socket).filter((link) => !link.loopback);
    const addresses = listAddresses(socket);
    const inUse = (link: Link): boolean => link.up || !FALLBACK_DEVICES.test(link.name);
    return {
      captured: links.filter((link) => link.ethernet),
      unsupported: links.filter((link) => !link.ethernet && inUse(link)),
      addresses: [...new Set(addresses.map((a) => a.ip))].filter((ip) => !isLoopback(ip)),
    };
  });
}
