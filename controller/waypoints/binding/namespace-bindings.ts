/** The bindings of every namespace's automatic waypoint in the graph: as recorded, and what must stay closed beside that. */
import type { EnrolmentOptions } from "#core/authz/enrolment.ts";
import type { NamespaceObject, PodObject, ServiceObject } from "#core/k8s/object-types.ts";
import type { PolicyKey } from "#core/model/ids.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import type { Collection } from "../../collections/collection.ts";
import { Derived, type ReadContext } from "../../collections/derive.ts";
import type { KeyIndex } from "../../collections/key-index.ts";
import type { Scheduler } from "../../collections/scheduler.ts";
import type { Sources } from "../../sources.ts";
import type { MeshConfig } from "../../translate/mesh-config.ts";
import { isDecidedByWaypoints, type MeshPolicy } from "../../translate/mesh-policy.ts";
import { waypointOf } from "../gateway/waypoint-of.ts";
import type { Binding } from "./binding.ts";
import { bindingsInForce, mustClose } from "./bindings-in-force.ts";
import { enforceTiming } from "../../translate/enforce-timing.ts";
import { needsWaypoint } from "../needs/needs-waypoint.ts";
import type { WaypointGateway } from "../gateway/waypoint-gateway.ts";

export interface NamespaceBindings {
  readonly namespace: string;
  /** What is pushed follows from these. */
  readonly bindings: readonly Binding[];
  /** Policies whose bindings the record takes up closed. */
  readonly immediately: ReadonlySet<PolicyKey>;
  /** Its annotation has no effect. */
  readonly problem: string | undefined;
}

export interface NamespaceBindingsInputs {
  readonly sources: Sources;
  readonly gateways: Collection<WaypointGateway>;
  readonly policies: Collection<MeshPolicy>;
  /** By namespace. */
  readonly services: KeyIndex<ServiceObject>;
  readonly enrolment: EnrolmentOptions;
  /** Whether this process knows the version before; it reads `formerForms`. */
  readonly hasFormerForm: (read: ReadContext, policy: string) => boolean;
  readonly formerForms: unknown;
  /** It reads `meshConfigs`. */
  readonly readMesh: (read: ReadContext) => MeshConfig;
  readonly meshConfigs: unknown;
}

/** By namespace. */
export function namespaceBindings(
  inputs: NamespaceBindingsInputs,
  scheduler: Scheduler,
): Derived<NamespaceObject, NamespaceBindings> {
  const { sources, gateways, policies, services, formerForms, meshConfigs } = inputs;
  const deciding = policies.index("policies that need waypoints", (policy) =>
    isDecidedByWaypoints(policy) ? [policy.namespace] : [],
  );
  const pods = sources.pods.index("pods by namespace, for bindings", ({ metadata }) => [metadata.namespace]);
  return new Derived(
    {
      name: "bindings of namespaces",
      source: sources.namespaces,
      reads: [
        gateways,
        policies,
        sources.pods,
        sources.replicaSets,
        services.collection,
        formerForms,
        meshConfigs,
      ] as readonly Collection<never>[],
      compute: (read, namespace) => compute(read, namespace, { ...inputs, deciding, pods }),
      equal: (a, b) => keyOf(a) === keyOf(b),
    },
    scheduler,
  );
}

interface Context extends NamespaceBindingsInputs {
  readonly deciding: KeyIndex<MeshPolicy>;
  readonly pods: KeyIndex<PodObject>;
}

function compute(read: ReadContext, object: NamespaceObject, context: Context): NamespaceBindings {
  const { name: namespace, annotations } = object.metadata;
  const { gateways, deciding, hasFormerForm } = context;
  const gateway = read.get(gateways, `${namespace}/${AUTOMATIC_WAYPOINT}`);
  const record = {
    namespace,
    bindings: gateway?.record.bindings ?? [],
    isLost: gateway?.lost !== undefined,
  };
  const timing = enforceTiming(annotations);
  const reach = new Set([namespace, context.readMesh(read).rootNamespace]);
  const policies = [...reach].flatMap((from) => read.fetch(deciding, from));
  const closed = policies.filter(({ key, guard }) =>
    mustClose({ key, guard, hasFormerForm: hasFormerForm(read, key) }, record),
  );
  const asked = policies.filter(({ immediately }) => immediately || timing.immediately);
  return {
    namespace,
    bindings: closed.length === 0 ? record.bindings : withClosed(read, closed, { object, record, context }),
    immediately: new Set([...closed, ...asked].map(({ key }) => key)),
    problem: timing.problem && `namespace ${namespace}: ${timing.problem.path} ${timing.problem.message}`,
  };
}

interface Place {
  readonly object: NamespaceObject;
  readonly record: Parameters<typeof bindingsInForce>[0];
  readonly context: Context;
}

function withClosed(
  read: ReadContext,
  policies: readonly MeshPolicy[],
  { object, record, context }: Place,
): readonly Binding[] {
  const { name } = object.metadata;
  const { gateways, sources } = context;
  const { replicaSets } = sources;
  const { namespaces } = needsWaypoint({
    rootNamespace: context.readMesh(read).rootNamespace,
    enrolment: context.enrolment,
    policies,
    namespaces: [object],
    pods: read.fetch(context.pods, name),
    services: read.fetch(context.services, name),
    isWaypointPod: (pod) => waypointOf(read, pod, { gateways, replicaSets }) !== undefined,
    // Theirs are not asked about here.
    explicitWaypoints: new Set(),
    immediately: () => true,
  });
  return bindingsInForce(record, namespaces.get(name) ?? []);
}

function keyOf({ bindings, immediately, problem }: NamespaceBindings): string {
  return JSON.stringify([bindings, [...immediately].toSorted(), problem ?? ""]);
}
