/**
 * Pure. Which workload of a service gets a new connection: eligibility, locality preference, weighted choice, target
 * port and address (Istio's ztunnel, state.rs `load_balance`). No retries, no memory of earlier choices.
 */
import type { NetworkAddress } from "../model/address.ts";
import { serviceKey } from "../model/ids.ts";
import type { LoadBalancing, RoutingScope, Service } from "../model/service.ts";
import type { Workload } from "../model/workload.ts";
import { type IpAddress, type IpFamily, ipFamily } from "../net/ip.ts";
import type { MeshView } from "./mesh-state.ts";
import type { Endpoint } from "./service-store.ts";

export interface EndpointQuery {
  readonly service: Service;
  readonly servicePort: number;
  /** Who asks: its locality, node, cluster and network rank the endpoints. */
  readonly source: Workload;
  /** The address that was dialled: decides the family, and the address itself if the workload owns it. */
  readonly dialled: NetworkAddress;
  /** "waypoint": an endpoint with an application tunnel serves the port without declaring it. */
  readonly mode: "standard" | "waypoint";
  /** 0 <= x < 1; passed in so that tests are exact. */
  readonly random: () => number;
  /** Left out: all are. */
  readonly isEligible?: (workload: Workload) => boolean;
}

export type EndpointChoice =
  | { readonly kind: "endpoint"; readonly workload: Workload; readonly ip: IpAddress; readonly port: number }
  | { readonly kind: "none"; readonly reason: "no-healthy-endpoint" | "destination-has-no-address" };

/** A workload that may be chosen; as often as its capacity says. */
export interface EndpointCandidate {
  readonly workload: Workload;
  /** Undefined: it has no address that the caller could use. */
  readonly ip: IpAddress | undefined;
  readonly port: number;
}

interface Candidate {
  readonly workload: Workload;
  readonly port: number;
}

export function chooseEndpoint(view: MeshView, query: EndpointQuery): EndpointChoice {
  const eligible = preferred(query, candidates(view, query));
  const chosen = pickByCapacity(eligible, query.random);
  if (chosen === undefined) return { kind: "none", reason: "no-healthy-endpoint" };
  const ip = chooseIp(chosen.workload, query);
  if (ip === undefined) return { kind: "none", reason: "destination-has-no-address" };
  return { kind: "endpoint", workload: chosen.workload, ip, port: chosen.port };
}

/** All among which `chooseEndpoint` chooses: for whoever chooses again and again from one state. */
export function endpointCandidates(view: MeshView, query: EndpointQuery): readonly EndpointCandidate[] {
  return preferred(query, candidates(view, query)).map(({ workload, port }) => ({
    workload,
    ip: chooseIp(workload, query),
    port,
  }));
}

function candidates(view: MeshView, query: EndpointQuery): readonly Candidate[] {
  const { service } = query;
  const allowUnhealthy = service.loadBalancing?.healthPolicy === "allow-all";
  const result: Candidate[] = [];
  for (const endpoint of view.services.endpoints(serviceKey(service.namespace, service.hostname)).values()) {
    const workload = view.workloads.get(endpoint.workloadUid);
    if (workload === undefined || !isReachable(workload)) continue;
    if (endpoint.status === "unhealthy" && !allowUnhealthy) continue;
    if (query.isEligible?.(workload) === false) continue;
    const port = targetPort(query, endpoint, workload);
    if (port > 0) result.push({ workload, port });
  }
  return result;
}

function isReachable(workload: Workload): boolean {
  return workload.addresses.length > 0 || workload.hostname !== "" || workload.networkGateway !== undefined;
}

/** The endpoint's own port, then the service's, then (application tunnel) the service port; 0 when it serves none. */
function targetPort(query: EndpointQuery, endpoint: Endpoint, workload: Workload): number {
  const own = endpoint.ports.get(query.servicePort) ?? 0;
  if (own > 0) return own;
  const declared = query.service.ports.find((p) => p.servicePort === query.servicePort)?.targetPort ?? 0;
  if (declared > 0) return declared;
  return query.mode === "waypoint" && workload.applicationTunnel !== undefined ? query.servicePort : 0;
}

/** Keeps the best-ranked candidates; "strict" keeps only full matches. */
function preferred(query: EndpointQuery, all: readonly Candidate[]): readonly Candidate[] {
  const lb = query.service.loadBalancing;
  if (lb === undefined || (lb.mode !== "failover" && lb.mode !== "strict")) return all;
  const ranked = all.map((candidate) => ({ candidate, ...rankOf(lb, query.source, candidate.workload) }));
  const allowed = lb.mode === "strict" ? ranked.filter((r) => r.full) : ranked;
  const top = Math.max(...allowed.map((r) => r.rank));
  return allowed.filter((r) => r.rank === top).map((r) => r.candidate);
}

/** Number of leading preferences met. A network preference in front outweighs all others and does not end the count. */
function rankOf(lb: LoadBalancing, source: Workload, workload: Workload): { rank: number; full: boolean } {
  const preferences = lb.routingPreferences;
  let rank = 0;
  let met = 0;
  for (const [index, scope] of preferences.entries()) {
    const networkFirst = index === 0 && scope === "network";
    if (isSame(scope, source, workload)) {
      met++;
      rank += networkFirst ? preferences.length : 1;
    } else if (!networkFirst) break;
  }
  return { rank, full: met === preferences.length };
}

function isSame(scope: RoutingScope, a: Workload, b: Workload): boolean {
  switch (scope) {
    case "region":
    case "zone":
    case "subzone":
      return a.locality[scope] === b.locality[scope];
    case "node":
      return a.node === b.node;
    case "cluster":
      return a.clusterId === b.clusterId;
    case "network":
      return a.network === b.network;
  }
}

/** Random by capacity; a capacity of 0 is never chosen. */
export function pickByCapacity<T extends { readonly workload: Workload }>(
  from: readonly T[],
  random: () => number,
): T | undefined {
  let total = 0;
  for (const { workload } of from) total += workload.capacity;
  let left = random() * total;
  for (const candidate of from) {
    const { capacity } = candidate.workload;
    if (capacity > 0 && left < capacity) return candidate;
    left -= capacity;
  }
  return undefined;
}

function chooseIp(workload: Workload, query: EndpointQuery): IpAddress | undefined {
  const { dialled, service } = query;
  if (workload.addresses.includes(dialled.ip)) return dialled.ip;
  const allowed = workload.addresses.filter((ip) => isAllowed(service, ipFamily(ip)));
  return allowed.find((ip) => ipFamily(ip) === ipFamily(dialled.ip)) ?? allowed[0];
}

function isAllowed(service: Service, family: IpFamily): boolean {
  if (service.ipFamilies === "ipv4") return family === 4;
  return service.ipFamilies !== "ipv6" || family === 6;
}
