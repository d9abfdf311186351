/** The policy half of the graph: mesh configuration, AuthorizationPolicy and PeerAuthentication. */
import type { ConfigMapObject, CustomObject, PodObject } from "#core/k8s/object-types.ts";
import type { Authorization } from "#core/model/authorization.ts";
import { type PolicyKey, policyKey } from "#core/model/ids.ts";
import { deniesHttpName } from "#core/model/waypoint.ts";
import type { Collection } from "./collections/collection.ts";
import { Derived, type ReadContext } from "./collections/derive.ts";
import type { KeyIndex } from "./collections/key-index.ts";
import { StaticCollection } from "./collections/static.ts";
import { type FormerForm, nextKey } from "./waypoints/binding/former-forms.ts";
import type { Scheduler } from "./collections/scheduler.ts";
import type { Sources } from "./sources.ts";
import type { PodWaypoint } from "./mesh-waypoints.ts";
import { type MeshConfig, translateMeshConfig } from "./translate/mesh-config.ts";
import { type MeshPolicy, translateMeshPolicy } from "./translate/mesh-policy.ts";
import type { PolicyTarget } from "./translate/policy-targets.ts";
import {
  chooseStrictness,
  convertedName,
  convertedPolicy,
  oldest,
  parentIsStrict,
  type PeerAuthentication,
  readPeerAuthentication,
  staticStrictPolicy,
} from "./translate/peer-authentication.ts";
import { underItsElders } from "./translate/peer-precedence.ts";
import type { Translated } from "./translate/problem.ts";
import { selectorMatches } from "./translate/selectors.ts";

const ALL = "all";

export class MeshPolicies {
  /** One entry, under the key of the ConfigMap. Empty while there is none. */
  readonly meshConfigs: Derived<ConfigMapObject, Translated<MeshConfig>>;
  readonly authorizationPolicies: Derived<CustomObject, MeshPolicy>;
  readonly peerAuthentications: Derived<CustomObject, PeerAuthentication>;
  /** The same, each with what older ones take from it: for people. */
  readonly reportedPeers: Derived<PeerAuthentication, PeerAuthentication>;
  /** Made for PeerAuthentications with port exceptions. */
  readonly converted: Derived<PeerAuthentication, Authorization>;
  /** By policy: what ztunnels go on with until waypoints judge by it. */
  readonly formerForms: StaticCollection<FormerForm> = new StaticCollection("former forms of policies");
  /** The static policy: sent while any PeerAuthentication exists. */
  readonly strict: Collection<Authorization>;
  readonly #defaults: MeshConfig;
  readonly #meshIndex: KeyIndex<Translated<MeshConfig>>;
  readonly #selectorPolicies: KeyIndex<MeshPolicy>;
  readonly #requestPolicies: KeyIndex<MeshPolicy>;
  readonly #formerByNamespace: KeyIndex<FormerForm>;
  readonly #peersByNamespace: KeyIndex<PeerAuthentication>;

  constructor(sources: Sources, defaults: MeshConfig, scheduler: Scheduler) {
    this.#defaults = defaults;
    this.meshConfigs = new Derived(
      {
        name: "mesh config",
        source: sources.meshConfigMaps,
        reads: [],
        compute: (_read, configMap) => translateMeshConfig(configMap, defaults),
        equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
      },
      scheduler,
    );
    this.#meshIndex = this.meshConfigs.index("mesh config", () => [ALL]);
    this.authorizationPolicies = this.#deriveAuthorizationPolicies(sources, scheduler);
    this.#selectorPolicies = this.authorizationPolicies.index("selector policies", (policy) =>
      policy.authorization?.scope === "workload-selector" ? [policy.namespace] : [],
    );
    this.#formerByNamespace = this.formerForms.index("former forms", ({ namespace }) => [namespace]);
    this.#requestPolicies = this.authorizationPolicies.index("policies for waypoints", (policy) =>
      policy.request === undefined ? [] : [policy.namespace],
    );
    this.peerAuthentications = this.#derivePeers(sources, scheduler);
    this.#peersByNamespace = this.peerAuthentications.index("peer authentications", (p) => [p.namespace]);
    this.reportedPeers = this.#deriveReportedPeers(scheduler);
    this.converted = this.#deriveConverted(scheduler);
    this.strict = new Derived<PeerAuthentication, Authorization>(
      {
        name: "static strict policy",
        source: this.peerAuthentications,
        reads: [this.meshConfigs as never],
        compute: (read) => staticStrictPolicy(this.readMesh(read)),
        equal: (a, b) => a.namespace === b.namespace,
      },
      scheduler,
    );
  }

  /** What readers of policies must declare. */
  collections(): readonly unknown[] {
    return [
      this.meshConfigs,
      this.authorizationPolicies,
      this.peerAuthentications,
      this.converted,
      this.formerForms,
    ];
  }

  mesh(): MeshConfig {
    return this.#meshIndex.get(ALL)[0]?.output ?? this.#defaults;
  }

  readMesh(read: ReadContext): MeshConfig {
    return read.fetch(this.#meshIndex, ALL)[0]?.output ?? this.#defaults;
  }

  /**
   * Names of the policies in force for a pod that are named by workloads. The L4 form of an HTTP policy is there only where
   * the waypoint judges requests already, or never will: by itself it would refuse every request.
   */
  selecting(read: ReadContext, { pod, takesL4Forms, pushes }: PodWaypoint): readonly PolicyKey[] {
    const mesh = this.readMesh(read);
    const selected = this.#reaching(read, this.#selectorPolicies, pod, mesh).filter(
      ({ key, l7Fields }) => l7Fields.length === 0 || takesL4Forms || pushes.l4Forms.has(key),
    );
    const names = selected.map((policy) =>
      read.get(this.formerForms, policy.key) === undefined ? policy.key : nextKey(policy),
    );
    const deniers = selected
      .filter(({ key, deniesHttp }) => deniesHttp && pushes.l4Forms.has(key))
      .map(({ key }) => policyKey(pod.metadata.namespace, deniesHttpName(key)));
    return [...names, ...deniers, ...this.#formerly(read, pod, mesh), ...this.#strictness(read, pod, mesh)];
  }

  /** What ruled the pod before its policy became one about requests. */
  #formerly(read: ReadContext, { metadata }: PodObject, mesh: MeshConfig): readonly PolicyKey[] {
    const { namespace, labels } = metadata;
    const reach = namespace === mesh.rootNamespace ? [namespace] : [namespace, mesh.rootNamespace];
    const isRuled = ({ selector, authorization }: FormerForm): boolean =>
      authorization.scope === "workload-selector" && selectorMatches(selector ?? {}, labels);
    return reach.flatMap((from) => read.fetch(this.#formerByNamespace, from, isRuled).map(({ key }) => key));
  }

  /** Policies by which a waypoint judges requests to a pod, whatever service they were meant for. */
  judging(read: ReadContext, pod: PodObject): readonly MeshPolicy[] {
    return this.#reaching(read, this.#requestPolicies, pod, this.readMesh(read)).filter(
      ({ targets }) => targets.length === 0,
    );
  }

  /** Policies of a namespace that name what a waypoint serves, or the waypoint. */
  targeting(
    read: ReadContext,
    namespace: string,
    isMeant: (target: PolicyTarget) => boolean,
  ): readonly MeshPolicy[] {
    return read.fetch(this.#requestPolicies, namespace, ({ targets }) => targets.some(isMeant));
  }

  #reaching(
    read: ReadContext,
    index: KeyIndex<MeshPolicy>,
    pod: PodObject,
    mesh: MeshConfig,
  ): readonly MeshPolicy[] {
    const { namespace, labels } = pod.metadata;
    const reach = namespace === mesh.rootNamespace ? [namespace] : [namespace, mesh.rootNamespace];
    return reach.flatMap((from) =>
      read.fetch(index, from, ({ selector }) => selectorMatches(selector ?? {}, labels)),
    );
  }

  #strictness(read: ReadContext, pod: PodObject, mesh: MeshConfig): readonly PolicyKey[] {
    const { namespace, labels } = pod.metadata;
    const own = oldest(
      read.fetch(
        this.#peersByNamespace,
        namespace,
        (p) =>
          p.selector !== undefined && namespace !== mesh.rootNamespace && selectorMatches(p.selector, labels),
      ),
    );
    const choice = chooseStrictness(own, this.#parentStrict(read, namespace, mesh));
    if (choice.kind === "none") return [];
    const converted = own === undefined ? "" : `${namespace}/${convertedName(own.name)}`;
    if (
      choice.kind === "converted" &&
      read.get(this.converted, `${namespace}/${own?.name ?? ""}`) !== undefined
    )
      return [converted as PolicyKey];
    return [policyKey(mesh.rootNamespace, staticStrictPolicy(mesh).name)];
  }

  #parentStrict(read: ReadContext, namespace: string, mesh: MeshConfig): boolean {
    const wide = (p: PeerAuthentication): boolean => p.selector === undefined;
    return parentIsStrict(
      read.fetch(this.#peersByNamespace, mesh.rootNamespace, wide),
      read.fetch(this.#peersByNamespace, namespace, wide),
    );
  }

  #deriveAuthorizationPolicies(sources: Sources, scheduler: Scheduler): Derived<CustomObject, MeshPolicy> {
    return new Derived(
      {
        name: "authorization policies",
        source: sources.authorizationPolicies,
        reads: [this.meshConfigs as never],
        compute: (read, policy) => translateMeshPolicy(policy, this.readMesh(read)),
        equal: () => false,
      },
      scheduler,
    );
  }

  #derivePeers(sources: Sources, scheduler: Scheduler): Derived<CustomObject, PeerAuthentication> {
    return new Derived(
      {
        name: "peer authentications",
        source: sources.peerAuthentications,
        reads: [this.meshConfigs as never],
        compute: (read, object) => readPeerAuthentication(object, this.readMesh(read)),
        equal: () => false,
      },
      scheduler,
    );
  }

  #deriveReportedPeers(scheduler: Scheduler): Derived<PeerAuthentication, PeerAuthentication> {
    return new Derived(
      {
        name: "reported peer authentications",
        source: this.peerAuthentications,
        reads: [this.peerAuthentications as never],
        compute: (read, peer) => underItsElders(peer, read.fetch(this.#peersByNamespace, peer.namespace)),
        equal: () => false,
      },
      scheduler,
    );
  }

  #deriveConverted(scheduler: Scheduler): Derived<PeerAuthentication, Authorization> {
    return new Derived(
      {
        name: "converted peer authentications",
        source: this.peerAuthentications,
        reads: [this.peerAuthentications as never, this.meshConfigs as never],
        compute: (read, peer) => {
          const mesh = this.readMesh(read);
          if (peer.selector === undefined || peer.namespace === mesh.rootNamespace) return undefined;
          return convertedPolicy(peer, this.#parentStrict(read, peer.namespace, mesh));
        },
        equal: () => false,
      },
      scheduler,
    );
  }
}
