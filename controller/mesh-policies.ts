/** The policy half of the graph: mesh configuration, AuthorizationPolicy and PeerAuthentication. */
import type { ConfigMapObject, CustomObject, PodObject } from "#core/k8s/object-types.ts";
import type { Authorization } from "#core/model/authorization.ts";
import { type PolicyKey, policyKey } from "#core/model/ids.ts";
import type { Collection } from "./collections/collection.ts";
import { Derived, type ReadContext } from "./collections/derive.ts";
import { Flattened, itemsOf } from "./collections/flatten.ts";
import type { KeyIndex } from "./collections/key-index.ts";
import type { Scheduler } from "./collections/scheduler.ts";
import type { Sources } from "./sources.ts";
import { type TranslatedPolicy, translateAuthorizationPolicy } from "./translate/authorization-policy.ts";
import { type MeshConfig, translateMeshConfig } from "./translate/mesh-config.ts";
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
  readonly authorizationPolicies: Derived<CustomObject, TranslatedPolicy>;
  readonly peerAuthentications: Derived<CustomObject, PeerAuthentication>;
  /** The same, each with what older ones take from it: for people. */
  readonly reportedPeers: Derived<PeerAuthentication, PeerAuthentication>;
  /** Made for PeerAuthentications with port exceptions. */
  readonly converted: Derived<PeerAuthentication, Authorization>;
  /** Everything that is sent, by resource name. */
  readonly authorizations: Collection<Authorization>;
  readonly #defaults: MeshConfig;
  readonly #meshIndex: KeyIndex<Translated<MeshConfig>>;
  readonly #selectorPolicies: KeyIndex<TranslatedPolicy>;
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
    this.peerAuthentications = this.#derivePeers(sources, scheduler);
    this.#peersByNamespace = this.peerAuthentications.index("peer authentications", (p) => [p.namespace]);
    this.reportedPeers = this.#deriveReportedPeers(scheduler);
    this.converted = this.#deriveConverted(scheduler);
    this.authorizations = this.#collect(scheduler);
  }

  /** What readers of policies must declare. */
  collections(): readonly unknown[] {
    return [this.meshConfigs, this.authorizationPolicies, this.peerAuthentications, this.converted];
  }

  mesh(): MeshConfig {
    return this.#meshIndex.get(ALL)[0]?.output ?? this.#defaults;
  }

  readMesh(read: ReadContext): MeshConfig {
    return read.fetch(this.#meshIndex, ALL)[0]?.output ?? this.#defaults;
  }

  /** Names of the selector-scoped policies in force for a pod. */
  selecting(read: ReadContext, pod: PodObject): readonly PolicyKey[] {
    const { namespace, labels } = pod.metadata;
    const mesh = this.readMesh(read);
    const reach = namespace === mesh.rootNamespace ? [namespace] : [namespace, mesh.rootNamespace];
    const selected = reach.flatMap((from) =>
      read.fetch(this.#selectorPolicies, from, (p) => selectorMatches(p.selector ?? {}, labels)),
    );
    return [...selected.map((policy) => policy.key), ...this.#strictness(read, pod, mesh)];
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

  #deriveAuthorizationPolicies(
    sources: Sources,
    scheduler: Scheduler,
  ): Derived<CustomObject, TranslatedPolicy> {
    return new Derived(
      {
        name: "authorization policies",
        source: sources.authorizationPolicies,
        reads: [this.meshConfigs as never],
        compute: (read, policy) => translateAuthorizationPolicy(policy, this.readMesh(read)),
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

  /** The static policy is sent while any PeerAuthentication exists. */
  #collect(scheduler: Scheduler): Collection<Authorization> {
    const named = (a: Authorization): [string, Authorization] => [`${a.namespace}/${a.name}`, a];
    const strict = new Derived<PeerAuthentication, Authorization>(
      {
        name: "static strict policy",
        source: this.peerAuthentications,
        reads: [this.meshConfigs as never],
        compute: (read) => staticStrictPolicy(this.readMesh(read)),
        equal: (a, b) => a.namespace === b.namespace,
      },
      scheduler,
    );
    return new Flattened<Authorization>(
      {
        name: "authorizations",
        equal: () => false,
        from: [
          itemsOf(this.authorizationPolicies, ({ authorization }) =>
            authorization === undefined ? [] : [named(authorization)],
          ),
          itemsOf(this.converted, (authorization) => [named(authorization)]),
          itemsOf(strict, (authorization) => [named(authorization)]),
        ],
      },
      scheduler,
    );
  }
}
