/** Pure. The connections table: those that ztunnel carries, and those older than the enrolment, which it does not. */
import { renderTable } from "../render/table.ts";
import { PRE_ENROLMENT, type PreEnrolmentConnection } from "./pre-enrolment.ts";
import { byNamespaceAndName } from "./tables.ts";
import type { DumpedPodState, ZtunnelDump } from "./ztunnel-dump.ts";

export interface ConnectionFilter {
  /** Empty: all. */
  readonly namespace: string;
  readonly direction: "inbound" | "outbound" | "";
  /** Addresses as they are, not as names. */
  readonly raw: boolean;
  /** Only this pod. */
  readonly pod?: { readonly namespace: string; readonly name: string } | undefined;
}

/** Names come from `dumps` together: a ztunnel on demand may know only a part. */
export function connectionTable(
  dumps: readonly ZtunnelDump[],
  older: readonly PreEnrolmentConnection[],
  filter: ConnectionFilter,
): string {
  const name = filter.raw ? (address: string): string => address : addressNames(dumps);
  const pods = byNamespaceAndName(mergedPods(dumps, older).filter((pod) => isWanted(pod, filter)));
  const rows = pods.flatMap((pod) => [
    ...(filter.direction === "outbound" ? [] : inboundRows(pod, name)),
    ...(filter.direction === "inbound" ? [] : outboundRows(pod, name)),
  ]);
  return renderTable(["WORKLOAD", "DIRECTION", "LOCAL", "REMOTE", "REMOTE TARGET", "PROTOCOL"], rows);
}

/** Whether a pod's connections are asked for. */
export function isWanted(
  pod: { readonly namespace: string; readonly name: string },
  filter: ConnectionFilter,
): boolean {
  if (filter.namespace !== "" && pod.namespace !== filter.namespace) return false;
  return filter.pod === undefined || (filter.pod.namespace === pod.namespace && filter.pod.name === pod.name);
}

interface PodConnections extends Pick<DumpedPodState, "namespace" | "name" | "inbound" | "outbound"> {
  readonly older: readonly PreEnrolmentConnection[];
}

function mergedPods(
  dumps: readonly ZtunnelDump[],
  older: readonly PreEnrolmentConnection[],
): readonly PodConnections[] {
  const byPod = new Map<string, PodConnections>();
  for (const pod of dumps.flatMap((dump) => dump.pods)) byPod.set(keyOf(pod), { ...pod, older: [] });
  for (const connection of older) {
    const { namespace, name } = connection;
    const pod = byPod.get(keyOf(connection)) ?? { namespace, name, inbound: [], outbound: [], older: [] };
    byPod.set(keyOf(connection), { ...pod, older: [...pod.older, connection] });
  }
  return [...byPod.values()];
}

type NameOf = (address: string) => string;

function inboundRows(pod: PodConnections, name: NameOf): readonly (readonly string[])[] {
  return [
    ...pod.inbound.map((c) => [
      fullName(pod),
      "Inbound",
      name(c.actualDestination),
      name(c.source),
      c.originalDestination,
      c.protocol,
    ]),
    ...olderRows(pod, "inbound", name),
  ];
}

function outboundRows(pod: PodConnections, name: NameOf): readonly (readonly string[])[] {
  return [
    ...pod.outbound.map((c) => [
      fullName(pod),
      "Outbound",
      name(c.source),
      name(c.actualDestination),
      name(c.originalDestination),
      c.protocol,
    ]),
    ...olderRows(pod, "outbound", name),
  ];
}

function olderRows(
  pod: PodConnections,
  direction: "inbound" | "outbound",
  name: NameOf,
): readonly string[][] {
  const title = direction === "inbound" ? "Inbound" : "Outbound";
  return pod.older
    .filter((c) => c.direction === direction)
    .map((c) => [fullName(pod), title, name(c.local), name(c.remote), "", PRE_ENROLMENT]);
}

/** Service hostnames and `pod.namespace` instead of addresses. */
function addressNames(dumps: readonly ZtunnelDump[]): NameOf {
  const byIp = new Map<string, string>();
  for (const workload of dumps.flatMap((dump) => dump.workloads))
    for (const ip of workload.ips) addName(byIp, ip, fullName(workload));
  // Services last: a virtual address belongs to its service whatever else claims it.
  for (const { vips, hostname } of dumps.flatMap((dump) => dump.services))
    for (const vip of vips) byIp.set(vip.slice(vip.indexOf("/") + 1), hostname);
  return (address) => {
    const colon = address.lastIndexOf(":");
    const ip = address.slice(0, Math.max(0, colon)).replace(/^\[(.*)\]$/, "$1");
    const known = byIp.get(ip) ?? "";
    return known === "" ? address : known + address.slice(colon);
  };
}

/** Pods with the node's network share its address: then the address itself is the only true name. */
function addName(byIp: Map<string, string>, ip: string, name: string): void {
  const other = byIp.get(ip);
  byIp.set(ip, other === undefined || other === name ? name : "");
}

function fullName(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.name}.${pod.namespace}`;
}

function keyOf(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.namespace}/${pod.name}`;
}
