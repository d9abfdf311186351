/** Pure. The tables of `ambit ztunnel-config`: istioctl's columns, cells and order. */
import { renderTable } from "../render/table.ts";
import { waypointName } from "./waypoint-name.ts";
import type {
  CertificateFacts,
  DumpedCertificate,
  DumpedPolicy,
  DumpedService,
  DumpedWorkload,
} from "./ztunnel-dump.ts";

export function byNamespaceAndName<T extends { readonly namespace: string; readonly name: string }>(
  items: readonly T[],
): readonly T[] {
  return items.toSorted((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
}

export function sortedWorkloads(workloads: readonly DumpedWorkload[]): readonly DumpedWorkload[] {
  return workloads.toSorted(
    (a, b) => compare(`${a.namespace}.${a.name}`, `${b.namespace}.${b.name}`) || compare(a.node, b.node),
  );
}

export function sortedServices(services: readonly DumpedService[]): readonly DumpedService[] {
  return services.toSorted(
    (a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name) || compare(a.hostname, b.hostname),
  );
}

/** `services` are all that are known, to name the waypoints. */
export function workloadTable(
  workloads: readonly DumpedWorkload[],
  services: readonly DumpedService[],
): string {
  return renderTable(
    ["NAMESPACE", "POD NAME", "ADDRESS", "NODE", "WAYPOINT", "PROTOCOL"],
    sortedWorkloads(workloads).map((w) => [
      w.namespace,
      w.name,
      w.ips.length > 0 ? w.ips.join(",") : w.hostname,
      w.node,
      waypointName(w.waypoint, services),
      w.protocol,
    ]),
  );
}

export function serviceTable(shown: readonly DumpedService[], services: readonly DumpedService[]): string {
  return renderTable(
    ["NAMESPACE", "SERVICE NAME", "SERVICE VIP", "WAYPOINT", "ENDPOINTS"],
    sortedServices(shown).map((s) => [
      s.namespace,
      s.name,
      s.vips.map((vip) => vip.slice(vip.indexOf("/") + 1)).join(","),
      waypointName(s.waypoint, services),
      `${s.healthyEndpoints}/${s.endpoints}`,
    ]),
  );
}

export function policyTable(policies: readonly DumpedPolicy[]): string {
  return renderTable(
    ["NAMESPACE", "POLICY NAME", "ACTION", "SCOPE"],
    byNamespaceAndName(policies).map((p) => [p.namespace, p.name, p.action, p.scope]),
  );
}

/** In the dump's order, which is by identity. */
export function certificateTable(certificates: readonly DumpedCertificate[], nowMs: number): string {
  const header = [
    "CERTIFICATE NAME",
    "TYPE",
    "STATUS",
    "VALID CERT",
    "SERIAL NUMBER",
    "NOT AFTER",
    "NOT BEFORE",
  ];
  return renderTable(
    header,
    certificates.flatMap((c) => certificateRows(c, nowMs)),
    { padding: 5 },
  );
}

function certificateRows(certificate: DumpedCertificate, nowMs: number): readonly (readonly string[])[] {
  const { identity, chain, roots } = certificate;
  const state = certificate.state.includes("Unavailable") ? "Unavailable" : certificate.state;
  if (chain.length === 0) return [[identity, "NA", state, "false", "NA", "NA", "NA"]];
  const row = (type: string, facts: CertificateFacts): readonly string[] => [
    identity,
    type,
    state,
    String(isValid(facts, nowMs)),
    serialHex(facts.serialNumber),
    facts.expirationTime || "NA",
    facts.validFrom || "NA",
  ];
  return [
    ...chain.map((facts, i) => row(i === 0 ? "Leaf" : "Intermediate", facts)),
    ...roots.map((facts) => row("Root", facts)),
  ];
}

function isValid(facts: CertificateFacts, nowMs: number): boolean {
  return Date.parse(facts.validFrom) < nowMs && nowMs < Date.parse(facts.expirationTime);
}

/** Whole octets, as in the access log's `cert_serial`: istioctl would drop a leading zero. */
function serialHex(decimal: string): string {
  if (!/^\d{1,60}$/.test(decimal)) return "NA";
  const hex = BigInt(decimal).toString(16);
  return hex.length % 2 === 0 ? hex : `0${hex}`;
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
