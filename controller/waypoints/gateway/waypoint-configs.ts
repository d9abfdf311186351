/** Waypoints' configurations in the graph: what each serves, and every policy that judges it. */
import { GATEWAY } from "#core/k8s/kinds.ts";
import { podWorkloadUid, serviceKey, type WorkloadUid } from "#core/model/ids.ts";
import type { RequestPolicy } from "#core/model/request-policy.ts";
import { WAYPOINT_CLASS } from "#core/model/waypoint.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";
import type { Workload } from "#core/model/workload.ts";
import type { Collection } from "../../collections/collection.ts";
import { Derived, type ReadContext } from "../../collections/derive.ts";
import type { KeyIndex } from "../../collections/key-index.ts";
import type { Scheduler } from "../../collections/scheduler.ts";
import type { MeshPolicies } from "../../mesh-policies.ts";
import type { MeshWaypoints, PodWaypoint, ServiceWaypoint } from "../../mesh-waypoints.ts";
import type { MeshConfig } from "../../translate/mesh-config.ts";
import type { MeshPolicy } from "../../translate/mesh-policy.ts";
import type { Sources } from "../../sources.ts";
import { isServiceTarget, type PolicyTarget } from "../../translate/policy-targets.ts";
import type { Translated } from "../../translate/problem.ts";
import { serviceSelects } from "../../translate/selectors.ts";
import { serviceHostname } from "../../translate/service.ts";
import { wantsClientCertField } from "./client-cert-field.ts";
import { type ServedObject, waypointConfig } from "./waypoint-config.ts";
import type { WaypointGateway } from "./waypoint-gateway.ts";

interface Inputs {
  readonly sources: Pick<Sources, "gateways" | "gatewayClasses">;
  readonly policies: MeshPolicies;
  readonly waypoints: MeshWaypoints;
  readonly sliceWorkloads: Collection<Translated<readonly Workload[]>>;
}

/** By `namespace/gateway`. */
export function waypointConfigs(inputs: Inputs, scheduler: Scheduler): Collection<WaypointConfig> {
  const { policies, waypoints, sliceWorkloads } = inputs;
  const slices = sliceWorkloads.index("slices by service", ({ output }) =>
    output.flatMap((workload) => [...workload.services.keys()]),
  );
  return new Derived<WaypointGateway, WaypointConfig>(
    {
      name: "waypoint configurations",
      source: waypoints.gateways,
      reads: [
        waypoints.pods,
        waypoints.services,
        sliceWorkloads,
        inputs.sources.gateways,
        inputs.sources.gatewayClasses,
        ...policies.collections(),
      ] as unknown as readonly Collection<never>[],
      compute: (read, gateway) => configOf(read, gateway, { ...inputs, slices }),
      equal: () => false,
    },
    scheduler,
  );
}

interface Context extends Inputs {
  readonly slices: KeyIndex<Translated<readonly Workload[]>>;
}

function configOf(read: ReadContext, gateway: WaypointGateway, context: Context): WaypointConfig {
  const { policies, waypoints, slices, sources } = context;
  const mesh = policies.readMesh(read);
  const services = read.fetch(waypoints.servicesByJudge, gateway.key);
  const workloads = new Map<string, ServedObject<WorkloadUid>>();
  const judgePod = (one: PodWaypoint, own: boolean): void => {
    const { namespace, name } = one.pod.metadata;
    const uid = podWorkloadUid(mesh.clusterId, namespace, name);
    if (workloads.has(uid)) return;
    workloads.set(uid, { name: uid, policies: podPolicies(read, one, { gateway, policies, own, mesh }) });
  };
  for (const pod of read.fetch(waypoints.podsByJudge, gateway.key)) judgePod(pod, true);
  for (const { service } of services) {
    const { namespace } = service.metadata;
    const selected = ({ pod }: PodWaypoint): boolean => serviceSelects(service.selector, pod.metadata.labels);
    for (const pod of read.fetch(waypoints.podsByNamespace, namespace, selected)) judgePod(pod, false);
    const key = serviceKey(namespace, serviceHostname(service, mesh));
    const listed = read.fetch(slices, key).flatMap(({ output }) => output.map(({ uid }) => uid));
    for (const uid of listed.filter((one) => !workloads.has(one)))
      workloads.set(uid, { name: uid, policies: [] });
  }
  return waypointConfig({
    name: gateway.key,
    automatic: gateway.automatic,
    pathNormalization: mesh.pathNormalization,
    clientCertField: wantsClientCertField(
      read.get(sources.gateways, gateway.key),
      read.get(sources.gatewayClasses, WAYPOINT_CLASS),
    ),
    services: services.map((one) => ({
      name: serviceKey(one.service.metadata.namespace, serviceHostname(one.service, mesh)),
      policies: servicePolicies(read, one, { gateway, policies, mesh }),
    })),
    workloads: [...workloads.values()],
  });
}

interface Judges {
  readonly gateway: WaypointGateway;
  readonly policies: MeshPolicies;
  readonly mesh: MeshConfig;
}

/** A policy that targets the waypoint itself judges whatever it serves; for pods, where no service stands for it. */
function podPolicies(
  read: ReadContext,
  { pod }: PodWaypoint,
  { gateway, policies, mesh, own }: Judges & { readonly own: boolean },
): readonly RequestPolicy[] {
  // With a waypoint that people made, selector policies stay at ztunnels, which see its identity, as in Istio.
  if (gateway.automatic) return requests(policies.judging(read, pod));
  return own && gateway.serves === "workload" ? ofGateway(read, { gateway, policies, mesh }) : [];
}

function servicePolicies(
  read: ReadContext,
  { service }: ServiceWaypoint,
  judges: Judges,
): readonly RequestPolicy[] {
  const { namespace, name } = service.metadata;
  const isMeant = (target: PolicyTarget): boolean => isServiceTarget(target) && target.name === name;
  return [...requests(judges.policies.targeting(read, namespace, isMeant)), ...ofGateway(read, judges)];
}

function ofGateway(read: ReadContext, { gateway, policies, mesh }: Judges): readonly RequestPolicy[] {
  const names = (kind: string, name: string) => (target: PolicyTarget) =>
    target.group === GATEWAY.group && target.kind === kind && target.name === name;
  return requests([
    ...policies.targeting(read, gateway.namespace, names("Gateway", gateway.name)),
    ...policies.targeting(read, mesh.rootNamespace, names("GatewayClass", WAYPOINT_CLASS)),
  ]);
}

function requests(policies: readonly MeshPolicy[]): readonly RequestPolicy[] {
  return policies.flatMap(({ request }) => (request === undefined ? [] : [request]));
}
