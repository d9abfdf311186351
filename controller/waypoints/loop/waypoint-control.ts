/** Waypoints wired to the rest of the controller: what the reconciler reads, and where its view goes. */
import type { Clock } from "#core/base/clock.ts";
import type { PodObject } from "#core/k8s/object-types.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { onlyObserves } from "#core/model/request-policy.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { ControllerConfig } from "../../config.ts";
import type { MeshGraph } from "../../mesh-graph.ts";
import { gatewayTexts } from "../../replicas/gateway-texts.ts";
import type { Replicas } from "../../replicas/replicas.ts";
import type { ProgressSource } from "./gateway-progress.ts";
import { OutsiderCensus } from "../status/outsider-census.ts";
import { scrapeMetrics } from "../status/scrape-metrics.ts";
import { podOwner } from "../../translate/pod-owner.ts";
import { directPorts } from "../../translate/service-endpoints.ts";
import type { WaypointChoice } from "../../translate/waypoint-choice.ts";
import { type NeedFacts, needsWaypoint, type WaypointNeeds } from "../needs/needs-waypoint.ts";
import { ownership, recordedWaypoint } from "../gateway/waypoint-of.ts";
import { inScope } from "../binding/pod-binding.ts";
import { attachmentNeeds, isAttached, type Takeovers } from "../takeover/takeovers.ts";
import { waypointApi } from "../objects/waypoint-api.ts";
import type { WaypointGateway } from "../gateway/waypoint-gateway.ts";
import { LABEL_GATEWAY_NAME, waypointPods, type WaypointPods } from "../gateway/waypoint-pods.ts";
import { WaypointReconciler } from "./waypoint-reconciler.ts";
import type { WaypointView } from "../status/waypoint-view.ts";

export interface WaypointControlDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly graph: MeshGraph;
  readonly pods: WaypointPods;
  readonly replicas: () => Replicas;
  readonly isLeader: () => boolean;
  readonly onView: (view: WaypointView) => void;
}

/** Which pods are waypoints, by what is recorded on their Gateways. */
export function waypointPodsOf(graph: MeshGraph): WaypointPods {
  const { index, sources } = graph;
  return waypointPods({
    recorded: (namespace, name) => recordedWaypoint(index.waypoints.gateways.get(`${namespace}/${name}`)),
    replicaSet: (namespace, name) => ownership(sources.replicaSets.get(`${namespace}/${name}`)),
  });
}

export function waypointReconciler(config: ControllerConfig, deps: WaypointControlDeps): WaypointReconciler {
  const { client, clock, log, graph, isLeader, onView } = deps;
  const mesh = graph.index.mesh.bind(graph.index);
  return new WaypointReconciler({
    api: waypointApi(client, () => ({
      image: config.waypoints.image,
      clusterId: mesh().clusterId,
      network: mesh().network,
      trustDomain: mesh().trustDomain,
      trustDomainAliases: mesh().trustDomainAliases,
      controllerAddress: config.waypoints.controllerAddress,
    })),
    clock,
    log: log.child("waypoints"),
    times: config.waypoints.times,
    isLeader,
    source: progressSource(config, deps),
    needs: () => currentNeeds(config, deps),
    takeovers: (needs) => currentTakeovers(config, deps, needs),
    gateways: () => [...graph.index.waypoints.gateways.values()],
    generation: (policy) => graph.index.policies.authorizationPolicies.get(policy)?.generation ?? 0,
    onView,
  });
}

/** `onResult`: it knows more than before. */
export function outsiderCensus(
  config: ControllerConfig,
  deps: Pick<WaypointControlDeps, "clock" | "log" | "graph"> & { readonly onResult: () => void },
): OutsiderCensus {
  const { clock, log, graph, onResult } = deps;
  const { podsByNamespace } = graph.index.waypoints;
  return new OutsiderCensus({
    clock,
    log: log.child("waypoints"),
    ztunnels: () =>
      liveZtunnels(config, graph).flatMap(({ ips, node }) =>
        ips.slice(0, 1).map((address) => ({ address, node })),
      ),
    scrape: (address) => scrapeMetrics(address),
    judgement: ({ namespace }, { policy, scope }) => {
      const request = graph.index.policies.authorizationPolicies.get(policy)?.request;
      if (request === undefined || onlyObserves(request)) return undefined;
      const covered = podsByNamespace
        .get(namespace)
        .filter(({ pod, services, standing }) => standing === "automatic" && inScope(scope, pod, services));
      return {
        isRefused: (workload, port) =>
          workload.namespace === namespace &&
          covered.some(
            ({ pod, services, excluded }) =>
              podOwner(pod).name === workload.name &&
              !directPorts(pod, services, excluded.ports).includes(port),
          ),
        isNeeded: (node) => covered.some(({ pod }) => pod.node === node),
        isOutside: (workload) =>
          podsByNamespace
            .get(workload.namespace)
            .some(
              ({ pod, standing }) =>
                (standing === "not-enrolled" || standing === "host-network") &&
                podOwner(pod).name === workload.name,
            ),
      };
    },
    onResult,
  });
}

function liveZtunnels(config: ControllerConfig, { sources }: MeshGraph): readonly PodObject[] {
  return [...sources.pods.values()].filter(
    ({ metadata, serviceAccount, phase }) =>
      config.nodeCheck.trustedNodeAccounts.includes(`${metadata.namespace}/${serviceAccount}`) &&
      phase === "Running" &&
      metadata.deletionMs === undefined,
  );
}

function currentNeeds(config: ControllerConfig, deps: WaypointControlDeps): WaypointNeeds {
  return needsWaypoint(needFacts(config, deps));
}

/** What policies would ask for if labels that have not come true yet were not there is held until they have. */
function currentTakeovers(
  config: ControllerConfig,
  deps: WaypointControlDeps,
  { namespaces: wanted, explicit }: WaypointNeeds,
): Takeovers {
  const { index, sources } = deps.graph;
  const gateways = new Map(index.waypoints.gateways.entries());
  const counts = (choice: WaypointChoice): boolean => isAttached(choice, gateways);
  const namespaces = new Map(sources.namespaces.entries());
  const services = new Map(sources.services.entries());
  const pods = [...sources.pods.values()];
  return {
    // Where no policy has to do with such labels there is nothing to hold.
    held: explicit.size === 0 ? wanted : needsWaypoint({ ...needFacts(config, deps), counts }).namespaces,
    attachments: attachmentNeeds({ namespaces, services, pods, gateways, wanted }),
  };
}

function needFacts(config: ControllerConfig, { graph, pods }: WaypointControlDeps): NeedFacts {
  const { index, sources } = graph;
  const gateways = [...index.waypoints.gateways.values()];
  return {
    rootNamespace: index.mesh().rootNamespace,
    enrolment: config.nodeCheck.enrolment,
    policies: [...index.policies.authorizationPolicies.values()].filter(
      ({ request }) => request !== undefined,
    ),
    namespaces: [...sources.namespaces.values()],
    pods: [...sources.pods.values()],
    services: [...sources.services.values()],
    isWaypointPod: (pod) => pods.isWaypointPod(pod) !== undefined,
    explicitWaypoints: new Set(gateways.filter((one) => !one.automatic).map(({ key }) => key)),
    immediately: (namespace, policy) =>
      index.waypoints.bindings.get(namespace)?.immediately.has(policy) === true,
  };
}

function progressSource(config: ControllerConfig, deps: WaypointControlDeps): ProgressSource {
  const { graph, replicas, pods } = deps;
  const { sources } = graph;
  const textOf = gatewayTexts(graph);
  return {
    isReady: () => graph.isPublished,
    isTerminating: (namespace) => sources.namespaces.get(namespace)?.terminating === true,
    seen: (gateway) => replicas().seen(gateway.key, textOf(gateway)),
    recentProxies: () => replicas().recentProxies(),
    ztunnels: () => liveZtunnels(config, graph),
    nodes: (gateway) => nodesOf(graph, gateway),
    waypointPods: (gateway) =>
      labelledPods(graph, gateway).filter((pod) => pods.isWaypointPod(pod)?.gateway === gateway.name),
    remainingPods: (gateway) =>
      labelledPods(graph, gateway).filter(({ serviceAccount }) => serviceAccount === gateway.name),
  };
}

function labelledPods({ sources }: MeshGraph, { namespace, name }: WaypointGateway): readonly PodObject[] {
  return [...sources.pods.values()].filter(
    ({ metadata }) => metadata.namespace === namespace && metadata.labels[LABEL_GATEWAY_NAME] === name,
  );
}

/** Of enrolled pods that are served: those of its services too, since their policies spare it. */
function nodesOf({ index }: MeshGraph, gateway: WaypointGateway): ReadonlySet<string> {
  const { podsByJudge, podsByNamespace, servicesByJudge } = index.waypoints;
  const nodes = new Set<string>();
  const add = ({ node }: PodObject): void => {
    if (node !== "") nodes.add(node);
  };
  for (const { pod } of podsByJudge.get(gateway.key)) add(pod);
  const services = servicesByJudge.get(gateway.key).map(({ service }) => service);
  if (services.length === 0) return nodes;
  const namespaces = new Set(services.map(({ metadata }) => metadata.namespace));
  for (const { pod, standing, services: of } of [...namespaces].flatMap((name) =>
    podsByNamespace.get(name),
  )) {
    const isServed = of.some((service) => services.includes(service));
    if (isServed && standing !== "host-network" && standing !== "not-enrolled") add(pod);
  }
  return nodes;
}
