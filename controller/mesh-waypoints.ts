/** The waypoint half of the graph: gateways, which of their bindings reach a pod or service, and waypoints' configurations. */
import type { CustomObject, NamespaceObject, PodObject, ServiceObject } from "#core/k8s/object-types.ts";
import type { EnrolmentOptions } from "#core/authz/enrolment.ts";
import type { GatewayAddress } from "#core/model/address.ts";
import { AUTOMATIC_WAYPOINT, waypointAddress } from "#core/model/waypoint.ts";
import type { Collection } from "./collections/collection.ts";
import { Derived, type ReadContext } from "./collections/derive.ts";
import type { KeyIndex } from "./collections/key-index.ts";
import type { Scheduler } from "./collections/scheduler.ts";
import { namespaceBindings, type NamespaceBindings } from "./namespace-bindings.ts";
import type { Sources } from "./sources.ts";
import { excludedPorts, type ExcludedPorts } from "./translate/excluded-ports.ts";
import type { MeshConfig } from "./translate/mesh-config.ts";
import type { MeshPolicy } from "./translate/mesh-policy.ts";
import { isLivePod } from "./translate/pod.ts";
import { serviceSelects } from "./translate/selectors.ts";
import { podChoice, podStanding, serviceChoice, type WaypointChoice } from "./translate/waypoint-choice.ts";
import { waypointOf } from "./waypoint-of.ts";
import { type Binding, pushesOf } from "./waypoints/binding.ts";
import { inScope, type PodPushes, podPushes } from "./waypoints/pod-binding.ts";
import { mayAttach, readWaypointGateway, type WaypointGateway } from "./waypoints/waypoint-gateway.ts";

/** Where a pod stands among waypoints. */
export interface PodWaypoint {
  readonly pod: PodObject;
  /** Services that select the pod. */
  readonly services: readonly ServiceObject[];
  /** `automatic`: HTTP policies about it are enforced by a waypoint of its namespace, never by a ztunnel's approximation. */
  readonly standing: ReturnType<typeof podStanding>["kind"];
  /** `namespace/name` of the waypoint that has it in its configuration. */
  readonly judge: string | undefined;
  /** Named on the workload. */
  readonly waypoint: GatewayAddress | undefined;
  readonly pushes: PodPushes;
  /** Ports that are kept from an automatic waypoint. */
  readonly excluded: ExcludedPorts;
}

/** Where a service stands among waypoints. */
export interface ServiceWaypoint {
  readonly service: ServiceObject;
  readonly choice: WaypointChoice;
  readonly judge: string | undefined;
  readonly waypoint: GatewayAddress | undefined;
  /** Why a waypoint that somebody chose does not serve it. */
  readonly refusal: ChoiceRefusal | undefined;
}

export type ChoiceRefusal =
  | "WaypointNotFound"
  | "WaypointIsNotReady"
  | "AttachmentDenied"
  | "UnsupportedTrafficType";

export interface WaypointGraphOptions {
  readonly enrolment: EnrolmentOptions;
  readonly policies: Collection<MeshPolicy>;
  /** By policy, see `former-forms.ts`; it reads `formerForms`. */
  readonly hasFormerForm: (read: ReadContext, policy: string) => boolean;
  readonly formerForms: unknown;
  readonly readMesh: (read: ReadContext) => MeshConfig;
  /** What `readMesh` reads. */
  readonly meshConfigs: unknown;
}

export class MeshWaypoints {
  readonly gateways: Derived<CustomObject, WaypointGateway>;
  /** By namespace. */
  readonly bindings: Derived<NamespaceObject, NamespaceBindings>;
  readonly pods: Derived<PodObject, PodWaypoint>;
  readonly services: Derived<ServiceObject, ServiceWaypoint>;
  /** By the waypoint that has them in its configuration. */
  readonly podsByJudge: KeyIndex<PodWaypoint>;
  readonly servicesByJudge: KeyIndex<ServiceWaypoint>;
  readonly podsByNamespace: KeyIndex<PodWaypoint>;
  readonly #sources: Sources;
  readonly #options: WaypointGraphOptions;
  readonly #sparing: KeyIndex<NamespaceBindings>;
  readonly #servicesByNamespace: KeyIndex<ServiceObject>;

  constructor(sources: Sources, options: WaypointGraphOptions, scheduler: Scheduler) {
    this.#sources = sources;
    this.#options = options;
    this.gateways = new Derived(
      {
        name: "waypoint gateways",
        source: sources.gateways,
        reads: [],
        compute: (_read, gateway) => readWaypointGateway(gateway),
        equal: () => false,
      },
      scheduler,
    );
    this.#servicesByNamespace = sources.services.index("services by namespace, for waypoints", (s) => [
      s.metadata.namespace,
    ]);
    this.bindings = namespaceBindings(
      { ...options, sources, gateways: this.gateways, services: this.#servicesByNamespace },
      scheduler,
    );
    this.#sparing = this.bindings.index("waypoints that are spared", ({ namespace, bindings }) =>
      bindings.some(({ stage }) => pushesOf(stage).exempts) ? [ALL, namespace] : [],
    );
    this.pods = this.#derivePods(scheduler);
    this.podsByNamespace = this.pods.index("waypoint pods by namespace", ({ pod }) => [
      pod.metadata.namespace,
    ]);
    this.podsByJudge = this.pods.index("pods by waypoint", ({ judge }) =>
      judge === undefined ? [] : [judge],
    );
    this.services = this.#deriveServices(scheduler);
    this.servicesByJudge = this.services.index("services by waypoint", ({ judge }) =>
      judge === undefined ? [] : [judge],
    );
  }

  /** Namespaces whose automatic waypoint passes the policies of a namespace; undefined: those of the whole mesh. */
  spared(read: ReadContext, namespace: string | undefined): readonly string[] {
    return read
      .fetch(this.#sparing, namespace ?? ALL)
      .map((one) => one.namespace)
      .toSorted();
  }

  /** Services that select the pod. One of a waypoint has none but that waypoint's own pods. */
  servicesOf(read: ReadContext, pod: PodObject): readonly ServiceObject[] {
    const { namespace, labels } = pod.metadata;
    return read
      .fetch(this.#servicesByNamespace, namespace, (service) => serviceSelects(service.selector, labels))
      .filter((service) => {
        const { name } = service.metadata;
        if (read.get(this.gateways, `${namespace}/${name}`) === undefined) return true;
        return (
          waypointOf(read, pod, { gateways: this.gateways, replicaSets: this.#sources.replicaSets }) === name
        );
      });
  }

  #bindings(read: ReadContext, namespace: string): readonly Binding[] {
    return read.get(this.bindings, namespace)?.bindings ?? [];
  }

  #derivePods(scheduler: Scheduler): Derived<PodObject, PodWaypoint> {
    const { pods, namespaces, services, replicaSets } = this.#sources;
    return new Derived(
      {
        name: "pods' waypoints",
        source: pods,
        reads: reads(
          namespaces,
          services,
          replicaSets,
          this.gateways,
          this.bindings,
          this.#options.meshConfigs,
        ),
        compute: (read, pod) => this.#podWaypoint(read, pod),
        equal: () => false,
      },
      scheduler,
    );
  }

  #podWaypoint(read: ReadContext, pod: PodObject): PodWaypoint {
    const { namespace: name } = pod.metadata;
    const namespace = read.get(this.#sources.namespaces, name);
    const services = this.servicesOf(read, pod);
    const standing = podStanding(pod, namespace, services, this.#options.enrolment).kind;
    const mesh = this.#options.readMesh(read);
    const covering =
      standing === "automatic" && isLivePod(pod)
        ? this.#bindings(read, name).filter(({ scope }) => inScope(scope, pod, services))
        : [];
    const pushes = podPushes(covering);
    const excluded = excludedPorts(pod, namespace, { isAutomatic: standing === "automatic" });
    const own = { pod, services, standing, pushes, excluded };
    if (covering.length > 0) {
      const waypoint = pushes.binds ? waypointAddress(name, AUTOMATIC_WAYPOINT, mesh.dnsDomain) : undefined;
      return { ...own, judge: `${name}/${AUTOMATIC_WAYPOINT}`, waypoint };
    }
    const chosen = standing === "explicit" ? podChoice(pod, namespace) : undefined;
    const gateway = chosen?.kind === "explicit" ? this.#chosen(read, chosen) : undefined;
    if (gateway === undefined || usable(gateway, name, namespace, "workload") !== undefined)
      return { ...own, judge: undefined, waypoint: undefined };
    return {
      ...own,
      judge: gateway.key,
      waypoint: waypointAddress(gateway.namespace, gateway.name, mesh.dnsDomain),
    };
  }

  #deriveServices(scheduler: Scheduler): Derived<ServiceObject, ServiceWaypoint> {
    const { services, namespaces } = this.#sources;
    return new Derived(
      {
        name: "services' waypoints",
        source: services,
        reads: reads(namespaces, this.gateways, this.bindings, this.pods, this.#options.meshConfigs),
        compute: (read, service) => this.#serviceWaypoint(read, service),
        equal: () => false,
      },
      scheduler,
    );
  }

  #serviceWaypoint(read: ReadContext, service: ServiceObject): ServiceWaypoint {
    const { namespace: name, name: serviceName } = service.metadata;
    const namespace = read.get(this.#sources.namespaces, name);
    const choice = serviceChoice(service, namespace);
    const none = { service, choice, judge: undefined, waypoint: undefined, refusal: undefined };
    // A waypoint's own service is how others reach it.
    const isGateway = read.get(this.gateways, `${name}/${serviceName}`) !== undefined;
    if (isGateway || service.type === "ExternalName" || choice.kind === "opted-out") return none;
    const mesh = this.#options.readMesh(read);
    if (choice.kind === "explicit") {
      const gateway = this.#chosen(read, choice);
      if (gateway === undefined) return { ...none, refusal: "WaypointNotFound" };
      const refusal = usable(gateway, name, namespace, "service");
      if (refusal !== undefined) return { ...none, refusal };
      const waypoint = waypointAddress(gateway.namespace, gateway.name, mesh.dnsDomain);
      return { ...none, judge: gateway.key, waypoint };
    }
    const covering = this.#covering(read, service);
    if (covering.length === 0) return none;
    const binds = covering.some(({ stage }) => pushesOf(stage).binds);
    const waypoint = binds ? waypointAddress(name, AUTOMATIC_WAYPOINT, mesh.dnsDomain) : undefined;
    return { ...none, judge: `${name}/${AUTOMATIC_WAYPOINT}`, waypoint };
  }

  /** Bindings that name the service, or that cover any of its pods: callers of that pod would be refused otherwise. */
  #covering(read: ReadContext, service: ServiceObject): readonly Binding[] {
    const { namespace, name } = service.metadata;
    const bindings = this.#bindings(read, namespace);
    if (bindings.length === 0) return [];
    const pods = read.fetch(
      this.podsByNamespace,
      namespace,
      (one) =>
        one.judge === `${namespace}/${AUTOMATIC_WAYPOINT}` &&
        serviceSelects(service.selector, one.pod.metadata.labels),
    );
    return bindings.filter(
      ({ scope }) =>
        (scope.kind === "services" && scope.names.includes(name)) ||
        pods.some(({ pod, services }) => inScope(scope, pod, services)),
    );
  }

  #chosen(
    read: ReadContext,
    choice: Extract<WaypointChoice, { readonly kind: "explicit" }>,
  ): WaypointGateway | undefined {
    return read.get(this.gateways, `${choice.namespace}/${choice.name}`);
  }
}

const ALL = "all";

/** Why an explicit waypoint does not take objects of a namespace; undefined when it does. */
function usable(
  gateway: WaypointGateway,
  namespace: string,
  object: NamespaceObject | undefined,
  traffic: "service" | "workload",
): ChoiceRefusal | undefined {
  if (gateway.automatic || !mayAttach(gateway, namespace, object)) return "AttachmentDenied";
  if (gateway.serves !== traffic && gateway.serves !== "all") return "UnsupportedTrafficType";
  // It has been made when nobody knows any more what it was: callers wait for it.
  const isMade = gateway.record.deploymentUid !== "" || gateway.lost !== undefined;
  return isMade ? undefined : "WaypointIsNotReady";
}

function reads(...collections: readonly unknown[]): readonly Collection<never>[] {
  return collections as readonly Collection<never>[];
}
