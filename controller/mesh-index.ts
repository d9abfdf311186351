/**
 * The graph: inputs to resources. The only file that knows what depends on what; every rule is in `translate/`.
 * A workload names only policies that exist in the same state, since names are taken from the policies' own outputs.
 */
import type { EnrolmentOptions } from "#core/authz/enrolment.ts";
import type { NodeObject, PodObject, ServiceObject } from "#core/k8s/object-types.ts";
import type { Authorization } from "#core/model/authorization.ts";
import type { Service } from "#core/model/service.ts";
import type { Workload } from "#core/model/workload.ts";
import { cidrContains, parseCidr } from "#core/net/cidr.ts";
import { parseIp } from "#core/net/ip.ts";
import type { Collection } from "./collections/collection.ts";
import { Derived, type ReadContext } from "./collections/derive.ts";
import { Flattened, itemsOf } from "./collections/flatten.ts";
import type { KeyIndex } from "./collections/key-index.ts";
import type { Scheduler } from "./collections/scheduler.ts";
import {
  type EncodedResource,
  encodeAddressResource,
  encodeAuthorizationResource,
  encodeWaypointResource,
} from "./encoded-resource.ts";
import { keepFormerForms } from "./waypoints/binding/former-forms.ts";
import { MeshPolicies } from "./mesh-policies.ts";
import { MeshWaypoints, type PodWaypoint, type ServiceWaypoint } from "./mesh-waypoints.ts";
import { pushedAuthorizations } from "./pushed-authorizations.ts";
import type { Sources } from "./sources.ts";
import { translateEndpointSlice } from "./translate/endpoint-slice.ts";
import type { MeshConfig } from "./translate/mesh-config.ts";
import { isLivePod, translatePod } from "./translate/pod.ts";
import type { AddressFacts } from "./translate/pod-addresses.ts";
import type { Translated } from "./translate/problem.ts";
import { translateService } from "./translate/service.ts";
import { waypointConfigs } from "./waypoints/gateway/waypoint-configs.ts";

/** Index key of what is looked at as a whole. */
const ALL = "all";

export class MeshIndex {
  readonly policies: MeshPolicies;
  readonly waypoints: MeshWaypoints;
  readonly workloads: Derived<PodWaypoint, Translated<Workload | undefined>>;
  readonly services: Derived<ServiceWaypoint, Translated<Service | undefined>>;
  readonly sliceWorkloads: Collection<Translated<readonly Workload[]>>;
  /** Workloads and services as pushed, by resource name. */
  readonly addresses: Collection<EncodedResource>;
  readonly pushedAuthorizations: Collection<Authorization>;
  /** Policies as pushed, by resource name. */
  readonly authorizations: Collection<EncodedResource>;
  /** Configurations of waypoints as pushed, by resource name. */
  readonly waypointConfigs: Collection<EncodedResource>;
  readonly #sources: Sources;
  readonly #podsByIp: KeyIndex<PodObject>;
  readonly #nodesByAddress: KeyIndex<NodeObject>;
  readonly #allNodes: KeyIndex<NodeObject>;
  readonly #servicesByVip: KeyIndex<ServiceObject>;

  constructor(
    sources: Sources,
    defaults: MeshConfig,
    scheduler: Scheduler,
    enrolment: EnrolmentOptions = { systemNamespace: defaults.rootNamespace, excludedNamespaces: [] },
  ) {
    this.#sources = sources;
    this.#podsByIp = sources.pods.index("pods by ip", (pod) => (isLivePod(pod) ? canonical(pod.ips) : []));
    this.#nodesByAddress = sources.nodes.index("nodes by address", (node) => canonical(node.addresses));
    this.#allNodes = sources.nodes.index("all nodes", () => [ALL]);
    this.#servicesByVip = sources.services.index("services by address", (s) => canonical(s.clusterIps));
    this.policies = new MeshPolicies(sources, defaults, scheduler);
    this.waypoints = new MeshWaypoints(
      sources,
      {
        enrolment,
        readMesh: (read) => this.policies.readMesh(read),
        meshConfigs: this.policies.meshConfigs,
        policies: this.policies.authorizationPolicies,
        hasFormerForm: (read, policy) => read.get(this.policies.formerForms, policy) !== undefined,
        formerForms: this.policies.formerForms,
      },
      scheduler,
    );
    keepFormerForms({
      forms: this.policies.formerForms,
      policies: this.policies.authorizationPolicies,
      gateways: this.waypoints.gateways,
      pods: this.waypoints.pods,
      rootNamespace: () => this.mesh().rootNamespace,
    });
    this.workloads = this.#deriveWorkloads(scheduler);
    this.services = this.#deriveServices(scheduler);
    this.sliceWorkloads = this.#deriveSlices(scheduler);
    this.addresses = this.#encodeAddresses(scheduler);
    this.pushedAuthorizations = pushedAuthorizations(
      this.policies,
      this.waypoints,
      this.workloads,
      scheduler,
    );
    this.authorizations = encodeAll(
      "encoded authorizations",
      this.pushedAuthorizations,
      encodeAuthorizationResource,
      scheduler,
    );
    const { policies, waypoints, sliceWorkloads } = this;
    const configs = waypointConfigs({ policies, waypoints, sliceWorkloads, sources }, scheduler);
    this.waypointConfigs = encodeAll("encoded waypoints", configs, encodeWaypointResource, scheduler);
  }

  mesh(): MeshConfig {
    return this.policies.mesh();
  }

  #deriveWorkloads(scheduler: Scheduler): Derived<PodWaypoint, Translated<Workload | undefined>> {
    const { pods, nodes, services } = this.#sources;
    return new Derived(
      {
        name: "workloads",
        source: this.waypoints.pods,
        reads: reads(pods, nodes, services, ...this.policies.collections()),
        compute: (read, place) =>
          translatePod(place.pod, {
            mesh: this.policies.readMesh(read),
            addresses: this.#addressFacts(read, place.pod),
            services: place.services,
            policies: this.policies.selecting(read, place),
            waypoint: place.waypoint,
            refusal: place.refusal,
            onlyThrough: place.pushes.denies ? place.spared : undefined,
            excluded: place.excluded,
          }),
        equal: different,
      },
      scheduler,
    );
  }

  #addressFacts(read: ReadContext, pod: PodObject): AddressFacts {
    return {
      node: pod.node === "" ? undefined : read.get(this.#sources.nodes, pod.node),
      isServiceVip: (ip) => read.fetch(this.#servicesByVip, ip).length > 0,
      nodesWith: (ip) => read.fetch(this.#nodesByAddress, ip).map((node) => node.metadata.name),
      podsWith: (ip) => read.fetch(this.#podsByIp, ip),
    };
  }

  #deriveServices(scheduler: Scheduler): Derived<ServiceWaypoint, Translated<Service | undefined>> {
    const { namespaces } = this.#sources;
    return new Derived(
      {
        name: "services",
        source: this.waypoints.services,
        reads: reads(namespaces, ...this.policies.collections()),
        compute: (read, place) =>
          translateService(place.service, {
            mesh: this.policies.readMesh(read),
            namespace: read.get(namespaces, place.service.metadata.namespace),
            place,
          }),
        equal: different,
      },
      scheduler,
    );
  }

  #deriveSlices(scheduler: Scheduler): Collection<Translated<readonly Workload[]>> {
    const { endpointSlices, services, pods, nodes } = this.#sources;
    return new Derived(
      {
        name: "endpoint slices",
        source: endpointSlices,
        reads: reads(services, pods, nodes, ...this.policies.collections()),
        compute: (read, slice) =>
          translateEndpointSlice(slice, {
            mesh: this.policies.readMesh(read),
            service: read.get(services, `${slice.metadata.namespace}/${slice.service}`),
            ownerOf: (ip) => this.#ownerOf(read, ip),
          }),
        equal: different,
      },
      scheduler,
    );
  }

  #ownerOf(read: ReadContext, ip: string): string | undefined {
    if (read.fetch(this.#servicesByVip, ip).length > 0) return "service";
    if (read.fetch(this.#nodesByAddress, ip).length > 0) return "node";
    if (read.fetch(this.#podsByIp, ip).length > 0) return "pod";
    const inRange = read.fetch(this.#allNodes, ALL).some((node) => nodeRangeHas(node, ip));
    return inRange ? "node's pod range" : undefined;
  }

  #encodeAddresses(scheduler: Scheduler): Collection<EncodedResource> {
    const items = new Flattened<Workload | Service>(
      {
        name: "addresses",
        equal: different,
        from: [
          itemsOf(this.workloads, ({ output }) => (output === undefined ? [] : [[output.uid, output]])),
          itemsOf(this.services, ({ output }) =>
            output === undefined ? [] : [[`${output.namespace}/${output.hostname}`, output]],
          ),
          itemsOf(this.sliceWorkloads, ({ output }) => output.map((workload) => [workload.uid, workload])),
        ],
      },
      scheduler,
    );
    return encodeAll("encoded addresses", items, encodeAddressResource, scheduler);
  }
}

/** Results are compared by the version of their encoded form, further down. */
function different(): boolean {
  return false;
}

function encodeAll<V>(
  name: string,
  source: Collection<V>,
  encode: (value: V) => EncodedResource,
  scheduler: Scheduler,
): Collection<EncodedResource> {
  return new Derived<V, EncodedResource>(
    {
      name,
      source,
      reads: [],
      compute: (_read, value) => encode(value),
      equal: (a, b) => a.version === b.version,
    },
    scheduler,
  );
}

function reads(...collections: readonly unknown[]): readonly Collection<never>[] {
  return collections as readonly Collection<never>[];
}

function canonical(texts: readonly string[]): readonly string[] {
  return texts.flatMap((text) => {
    const address = parseIp(text);
    return address.ok ? [address.value] : [];
  });
}

function nodeRangeHas(node: NodeObject, ip: string): boolean {
  const address = parseIp(ip);
  return node.podCidrs.some((text) => {
    const block = parseCidr(text);
    return block.ok && address.ok && cidrContains(block.value, address.value);
  });
}
