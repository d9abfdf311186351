/** Pure. A Pod, with what surrounds it, to the mesh's Workload. */
import type { NodeObject, PodObject, ServiceObject } from "#core/k8s/object-types.ts";
import type { GatewayAddress } from "#core/model/address.ts";
import { type PolicyKey, podWorkloadUid, policyKey } from "#core/model/ids.ts";
import { type Locality, NO_LOCALITY } from "#core/model/locality.ts";
import { ANNOTATION_REDIRECTION, LABEL_USE_WAYPOINT } from "#core/model/well-known.ts";
import type { Workload } from "#core/model/workload.ts";
import { onlyThroughName, type WaypointName } from "./exemptions.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { type AddressFacts, podAddresses } from "./pod-addresses.ts";
import { canonicalName, canonicalRevision, podOwner } from "./pod-owner.ts";
import type { Translated, TranslationProblem } from "./problem.ts";
import type { ExcludedPorts } from "./excluded-ports.ts";
import { directPorts, podServices } from "./service-endpoints.ts";

export interface PodFacts {
  readonly mesh: MeshConfig;
  readonly addresses: AddressFacts;
  /** Services that select the pod. */
  readonly services: readonly ServiceObject[];
  /** Selector-scoped policies in force for the pod; each exists in the same state. */
  readonly policies: readonly PolicyKey[];
  readonly waypoint: GatewayAddress | undefined;
  /** Why the waypoint that labels name does not serve it. */
  readonly refusal: string | undefined;
  /** If there: nobody but the automatic waypoint and these others may come, but to ports that count as TCP. */
  readonly onlyThrough: readonly WaypointName[] | undefined;
  /** Ports that are kept from it. */
  readonly excluded: ExcludedPorts;
}

const LABEL_TUNNEL = "networking.istio.io/tunnel";

/** Whether a pod counts at all: terminal pods keep their address in the status although others may have it now. */
export function isLivePod(pod: PodObject): boolean {
  return pod.phase !== "Succeeded" && pod.phase !== "Failed";
}

/** Undefined for a pod that has ended, has no address yet, or none that is believed. */
export function translatePod(pod: PodObject, facts: PodFacts): Translated<Workload | undefined> {
  if (!isLivePod(pod) || pod.ips.length === 0) return { output: undefined, problems: [] };
  const { accepted, refused } = podAddresses(pod, facts.addresses);
  const problems: TranslationProblem[] = refused.map(({ text, why }) =>
    problemOf(pod, "status.podIPs", "Refused", `${text} ${why}; it is left out`),
  );
  if (wantsWaypoint(pod) && (facts.waypoint === undefined || facts.refusal !== undefined)) {
    const path = `metadata.labels ${LABEL_USE_WAYPOINT}`;
    problems.push(
      problemOf(
        pod,
        path,
        "UnsupportedValue",
        "names a waypoint that does not exist, is not ready, or does not serve workloads",
      ),
    );
  }
  problems.push(...exclusionProblems(pod, facts));
  return { output: accepted.length === 0 ? undefined : workload(pod, facts, accepted), problems };
}

function workload(pod: PodObject, facts: PodFacts, addresses: Workload["addresses"]): Workload {
  const { mesh } = facts;
  const { namespace, name } = pod.metadata;
  const owner = podOwner(pod);
  const healthy = pod.ready && pod.metadata.deletionMs === undefined;
  return {
    uid: podWorkloadUid(mesh.clusterId, namespace, name),
    name,
    namespace,
    addresses,
    network: mesh.network,
    ...tunnel(pod),
    trustDomain: mesh.trustDomain,
    serviceAccount: pod.serviceAccount,
    waypoint: facts.waypoint,
    networkGateway: undefined,
    node: pod.node,
    canonicalName: canonicalName(pod, owner.name),
    canonicalRevision: canonicalRevision(pod),
    workloadType: owner.type,
    workloadName: owner.name,
    authorizationPolicies: [...facts.policies, ...onlyThrough(pod, facts)].toSorted(),
    status: healthy ? "healthy" : "unhealthy",
    clusterId: mesh.clusterId,
    hostname: "",
    services: podServices(facts.services, pod.ports, mesh),
    applicationTunnel: undefined,
    locality: nodeLocality(facts.addresses.node),
    networkMode: pod.hostNetwork ? "host-network" : "standard",
    excludedPorts: facts.excluded.ports,
    capacity: 1,
  };
}

function onlyThrough(
  pod: PodObject,
  { onlyThrough: others, services, excluded }: PodFacts,
): readonly PolicyKey[] {
  if (others === undefined) return [];
  const name = onlyThroughName(directPorts(pod, services, excluded.ports), others);
  return [policyKey(pod.metadata.namespace, name)];
}

/** A value that cannot be read, and ports whose services say HTTP, which wins. */
function exclusionProblems(pod: PodObject, { excluded, services }: PodFacts): readonly TranslationProblem[] {
  if (excluded.problem !== undefined)
    return [problemOf(pod, excluded.path, "Invalid", `${excluded.problem}; nothing is excluded`)];
  const direct = directPorts(pod, services, excluded.ports);
  return excluded.ports
    .filter((port) => !direct.includes(port))
    .map((port) =>
      problemOf(
        pod,
        excluded.path,
        "UnsupportedValue",
        `port ${port} goes through the waypoint all the same: a service declares HTTP there`,
      ),
    );
}

/** Without an account there is no identity, and so no tunnel: readers of the wire take "" for `default`. */
function tunnel(pod: PodObject): Pick<Workload, "tunnelProtocol" | "nativeTunnel"> {
  if (pod.hostNetwork || pod.serviceAccount === "") return { tunnelProtocol: "none", nativeTunnel: false };
  const native = (pod.metadata.labels[LABEL_TUNNEL] ?? "").split(",").includes("http");
  const captured = pod.metadata.annotations[ANNOTATION_REDIRECTION] === "enabled";
  return { tunnelProtocol: native || captured ? "hbone" : "none", nativeTunnel: native };
}

export function nodeLocality(node: NodeObject | undefined): Locality {
  const labels = node?.metadata.labels;
  if (labels === undefined) return NO_LOCALITY;
  return {
    region: labels["topology.kubernetes.io/region"] ?? "",
    zone: labels["topology.kubernetes.io/zone"] ?? "",
    subzone: labels["topology.istio.io/subzone"] ?? "",
  };
}

function wantsWaypoint(pod: PodObject): boolean {
  const wanted = pod.metadata.labels[LABEL_USE_WAYPOINT] ?? "";
  return wanted !== "none" && wanted !== "";
}

function problemOf(
  pod: PodObject,
  path: string,
  reason: TranslationProblem["reason"],
  message: string,
): TranslationProblem {
  const { namespace, name, generation } = pod.metadata;
  return { kind: "Pod", namespace, name, generation, path, reason, message };
}
