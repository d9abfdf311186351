/**
 * Pure. Which of the addresses that a pod's status claims are believed. A node's kubelet writes that status, so a
 * compromised node could claim any address and draw other pods' traffic: what is not plausibly the pod's is dropped.
 */
import type { NodeObject, PodObject } from "#core/k8s/object-types.ts";
import { cidrContains, parseCidr } from "#core/net/cidr.ts";
import { type IpAddress, isLoopback, isUnspecified, parseIp } from "#core/net/ip.ts";

export interface AddressFacts {
  /** The pod's node, while known. */
  readonly node: NodeObject | undefined;
  isServiceVip(address: IpAddress): boolean;
  /** Names of the nodes that have the address. */
  nodesWith(address: IpAddress): readonly string[];
  /** Live pods that claim the address, this one included. */
  podsWith(address: IpAddress): readonly PodObject[];
}

export interface RefusedAddress {
  readonly text: string;
  readonly why: string;
}

export interface PodAddresses {
  readonly accepted: readonly IpAddress[];
  readonly refused: readonly RefusedAddress[];
}

export function podAddresses(pod: PodObject, facts: AddressFacts): PodAddresses {
  const accepted: IpAddress[] = [];
  const refused: RefusedAddress[] = [];
  for (const text of pod.ips) {
    const address = parseIp(text);
    const why = address.ok ? refusal(pod, address.value, facts) : "is not an IP address";
    if (address.ok && why === undefined) accepted.push(address.value);
    else refused.push({ text, why: why ?? "is not an IP address" });
  }
  return { accepted, refused };
}

function refusal(pod: PodObject, address: IpAddress, facts: AddressFacts): string | undefined {
  if (isLoopback(address) || isUnspecified(address)) return "is not an address of a pod";
  if (facts.isServiceVip(address)) return "is the address of a service";
  const nodes = facts.nodesWith(address);
  if (nodes.some((name) => !pod.hostNetwork || name !== pod.node)) return "is the address of a node";
  if (!pod.hostNetwork && !inPodRange(address, facts.node)) return "is outside the node's podCIDRs";
  const older = facts.podsWith(address).find((other) => other.node !== pod.node && isOlder(other, pod));
  return older === undefined
    ? undefined
    : `belongs to the older pod ${older.metadata.namespace}/${older.metadata.name} of another node`;
}

function inPodRange(address: IpAddress, node: NodeObject | undefined): boolean {
  if (node === undefined || node.podCidrs.length === 0) return true;
  return node.podCidrs.some((text) => {
    const block = parseCidr(text);
    return block.ok && cidrContains(block.value, address);
  });
}

/** Total order, so that two pods never both keep, or both lose, an address. */
function isOlder(a: PodObject, b: PodObject): boolean {
  if (a.metadata.uid === b.metadata.uid) return false;
  const difference = a.metadata.creationMs - b.metadata.creationMs;
  return difference === 0 ? a.metadata.uid < b.metadata.uid : difference < 0;
}
