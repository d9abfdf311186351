/** The waypoint half of the graph: gateways, which of their bindings reach a pod or service, and waypoints' configurations. */
import type { CustomObject, NamespaceObject, PodObject, ServiceObject } from "#core/k8s/object-types.ts";
import type { EnrolmentOptions } from "#core/authz/enrolment.ts";
import type { GatewayAddress } from "#core/model/address.ts";
import { AUTOMATIC_WAYPOINT, waypointAddress } from "#core/model/waypoint.ts";
import type { Collection } from "./collections/collection.ts";
import { Derived, type ReadContext } from "./collections/derive.ts";
import type { KeyIndex } from "./collections/key-index.ts";
import type { Scheduler } from "./collections/scheduler.ts";
import { StaticCollection } from "./collections/static.ts";
import { namespaceBindings, type NamespaceBindings } from "./waypoints/binding/namespace-bindings.ts";
import type { Sources } from "./sources.ts";
import { excludedPorts, type ExcludedPorts } from "./translate/excluded-ports.ts";
import type { MeshConfig } from "./translate/mesh-config.ts";
import type { MeshPolicy } from "./translate/mesh-policy.ts";
import { isLivePod } from "./translate/pod.ts";
import { serviceSelects } from "./translate/selectors.ts";
import { podChoice, podStanding, serviceChoice, type WaypointChoice } from "./translate/waypoint-choice.ts";
import { waypointOf } from "./waypoints/gateway/waypoint-of.ts";
import { attachedOf, type Carrier } from "./waypoints/takeover/attachment.ts";
import { type Binding, pushesOf } from "./waypoints/binding/binding.ts";
import {
  type Attached,
  automaticClaim,
  type ChoiceRefusal,
  placeOf,
  refusalOf,
  stageOfChoice,
} from "./waypoints/takeover/object-place.ts";
import { inScope } from "./waypoints/binding/pod-binding.ts";
import { type JoiningPod, type PodPlace, podPlace } from "./waypoints/takeover/pod-place.ts";
import { readWaypointGateway, type WaypointGateway } from "./waypoints/gateway/waypoint-gateway.ts";

/** Where a pod stands among waypoints. */
export interface PodWaypoint extends Omit<PodPlace, "gateway"> {
  readonly pod: PodObject;
  /** Services that select the pod. */
  readonly services: readonly ServiceObject[];
  readonly standing: ReturnType<typeof podStanding>["kind"];
  /** Named on the workload. */
  readonly waypoint: GatewayAddress | undefined;
  /** Why the waypoint that labels name does not serve it. */
  readonly refusal: ChoiceRefusal | undefined;
  /** Ports that are kept from an automatic waypoint. */
  readonly excluded: ExcludedPorts;
}

/** Where a service stands among waypoints. */
export interface ServiceWaypoint {
  readonly service: ServiceObject;
  readonly choice: WaypointChoice;
  readonly judges: readonly string[];
  /** `namespace/name` of the waypoint in force. */
  readonly inForce: string | undefined;
  readonly waypoint: GatewayAddress | undefined;
  /** Why a waypoint that somebody chose does not serve it. */
  readonly refusal: ChoiceRefusal | undefined;
}

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
  /** By pod, see `joining-pods.ts`. */
  readonly joining: StaticCollection<JoiningPod> = new StaticCollection("pods that join");
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
  readonly #byCarrier: KeyIndex<WaypointGateway>;
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
    this.#byCarrier = this.gateways.index("waypoints by label", (gateway) =>
      attachedOf(gateway).map(({ carrier }) => carrier),
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
    this.podsByJudge = this.pods.index("pods by waypoint", ({ judges }) => judges);
    this.services = this.#deriveServices(scheduler);
    this.servicesByJudge = this.services.index("services by waypoint", ({ judges }) => judges);
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
          this.joining,
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
    const standing = podStanding(pod, namespace, services, this.#options).kind;
    const choice = podChoice(pod, namespace);
    const others = services.map((service) => serviceChoice(service, namespace));
    const attached = this.#attached(read, [
      ...(choice.kind === "explicit" ? [choice.carrier] : []),
      ...services.map((service) => `service ${name}/${service.metadata.name}`),
      `namespace ${name}`,
    ]);
    const refusal = this.#refusal(read, choice, name, "workload");
    const bindings = isLivePod(pod) ? this.#bindings(read, name) : [];
    const { gateway, ...place } = podPlace({
      namespace: name,
      standing: standing === "automatic" || standing === "explicit" ? standing : "none",
      choices: [choice, ...others],
      refusal,
      attached,
      bindings: bindings.filter(({ scope }) => inScope(scope, pod, services)),
      joining: read.get(this.joining, `${name}/${pod.metadata.name}`),
    });
    const isAutomatic = standing === "automatic" || !place.takesL4Forms;
    const excluded = excludedPorts(pod, namespace, { isAutomatic });
    return { pod, services, standing, refusal, excluded, ...place, waypoint: this.#address(read, gateway) };
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
    const none = {
      service,
      choice,
      judges: [],
      inForce: undefined,
      waypoint: undefined,
      refusal: undefined,
    };
    // A waypoint's own service is how others reach it.
    const isGateway = read.get(this.gateways, `${name}/${serviceName}`) !== undefined;
    if (isGateway || service.type === "ExternalName" || choice.kind === "opted-out") return none;
    const refusal = this.#refusal(read, choice, name, "service");
    const attached = this.#attached(read, [`service ${name}/${serviceName}`, `namespace ${name}`]);
    const isLeft = stageOfChoice(choice, attached) === "enforced";
    const { gateway, judges } = placeOf({
      traffic: "service",
      choice,
      refusal,
      attached,
      automatic: isLeft ? undefined : automaticClaim(name, this.#covering(read, service)),
    });
    return { ...none, judges, inForce: gateway, waypoint: this.#address(read, gateway), refusal };
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
        one.judges.includes(`${namespace}/${AUTOMATIC_WAYPOINT}`) &&
        serviceSelects(service.selector, one.pod.metadata.labels),
    );
    return bindings.filter(
      ({ scope }) =>
        (scope.kind === "services" && scope.names.includes(name)) ||
        pods.some(({ pod, services }) => inScope(scope, pod, services)),
    );
  }

  #refusal(
    read: ReadContext,
    choice: WaypointChoice,
    namespace: string,
    traffic: "service" | "workload",
  ): ChoiceRefusal | undefined {
    if (choice.kind !== "explicit") return undefined;
    const gateway = read.get(this.gateways, `${choice.namespace}/${choice.name}`);
    const object = read.get(this.#sources.namespaces, namespace);
    return refusalOf(gateway, { namespace, object }, traffic);
  }

  #attached(read: ReadContext, carriers: readonly Carrier[]): readonly Attached[] {
    return [...new Set(carriers)].flatMap((carrier) =>
      read
        .fetch(this.#byCarrier, carrier)
        .toSorted((a, b) => (a.key < b.key ? -1 : 1))
        .flatMap((gateway) =>
          attachedOf(gateway)
            .filter((attachment) => attachment.carrier === carrier)
            .map((attachment) => ({ gateway, attachment })),
        ),
    );
  }

  #address(read: ReadContext, key: string | undefined): GatewayAddress | undefined {
    if (key === undefined) return undefined;
    const [namespace = "", gateway = ""] = key.split("/");
    return waypointAddress(namespace, gateway, this.#options.readMesh(read).dnsDomain);
  }
}

const ALL = "all";

function reads(...collections: readonly unknown[]): readonly Collection<never>[] {
  return collections as readonly Collection<never>[];
}
