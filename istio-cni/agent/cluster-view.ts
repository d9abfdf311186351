/** What the agent sees of the cluster: pods of its node, namespaces, policies. Read-only to everyone else. */
import type { CoveringPolicy } from "#core/authz/covers.ts";
import { Informer, type ObjectChange } from "#core/k8s/informer.ts";
import {
  AUTHORIZATION_POLICY,
  type Kind,
  kindPath,
  NAMESPACE,
  PEER_AUTHENTICATION,
  POD,
} from "#core/k8s/kinds.ts";
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import type { CustomObject, KubeObject, NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { projectCustom, projectNamespace, projectPod } from "#core/k8s/project.ts";
import type { Logger } from "#core/runtime/log.ts";
import { authorizationFacts, peerAuthenticationFacts } from "./policy-facts.ts";

export interface ClusterViewOptions {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly log: Logger;
  /** Uids of pods that may need another look. */
  readonly onPods: (uids: readonly string[]) => void;
  readonly onPolicies: () => void;
}

export class ClusterView {
  readonly #options: ClusterViewOptions;
  readonly #pods: Informer<PodObject>;
  readonly #namespaces: Informer<NamespaceObject>;
  readonly #authorizations: Informer<CustomObject>;
  readonly #peerAuthentications: Informer<CustomObject>;
  readonly #podByUid = new Map<string, PodObject>();

  constructor(options: ClusterViewOptions) {
    this.#options = options;
    const { client, log, nodeName } = options;
    const make = <T extends KubeObject>(
      kind: Kind,
      project: (raw: unknown) => T,
      onBatch: (changes: readonly ObjectChange<T>[]) => void,
    ): Informer<T> =>
      new Informer({
        client,
        kind,
        project,
        onBatch,
        log,
        ...(kind === POD && { fieldSelector: `spec.nodeName=${nodeName}` }),
      });
    this.#pods = make(POD, projectPod, (changes) => this.#podsChanged(changes));
    this.#namespaces = make(NAMESPACE, projectNamespace, (changes) => this.#namespacesChanged(changes));
    this.#authorizations = make(AUTHORIZATION_POLICY, projectCustom, () => options.onPolicies());
    this.#peerAuthentications = make(PEER_AUTHENTICATION, projectCustom, () => options.onPolicies());
  }

  start(): void {
    for (const informer of this.#informers()) informer.start();
  }

  stop(): void {
    for (const informer of this.#informers()) informer.stop();
  }

  /** Pods and namespaces are known; policies only end older connections and are not waited for. */
  hasSynced(): boolean {
    return this.#pods.hasSynced() && this.#namespaces.hasSynced();
  }

  pods(): readonly PodObject[] {
    return [...this.#podByUid.values()];
  }

  podByUid(uid: string): PodObject | undefined {
    return this.#podByUid.get(uid);
  }

  namespaceByName(name: string): NamespaceObject | undefined {
    return this.#namespaces.get(name);
  }

  policies(): readonly CoveringPolicy[] {
    const authorizations = [...this.#authorizations.objects().values()].map(authorizationFacts);
    const peers = [...this.#peerAuthentications.objects().values()].map(peerAuthenticationFacts);
    return [...authorizations, ...peers];
  }

  /** From the cache, else from the API: a pod is created moments before the plugin asks. */
  async findPod(namespace: string, name: string, uid: string): Promise<PodObject | undefined> {
    const cached = this.#podByUid.get(uid);
    if (cached !== undefined) return cached;
    const pod = await this.#get(kindPath(POD, { namespace, name }), projectPod);
    return pod?.metadata.uid === uid ? pod : undefined;
  }

  async findNamespace(name: string): Promise<NamespaceObject | undefined> {
    return this.#namespaces.get(name) ?? (await this.#get(kindPath(NAMESPACE, { name }), projectNamespace));
  }

  async #get<T>(path: string, project: (raw: unknown) => T): Promise<T | undefined> {
    try {
      return project(await this.#options.client.json({ method: "GET", path, timeoutMs: 5_000 }));
    } catch (error) {
      if (kubeStatus(error) === 404) return undefined;
      throw error;
    }
  }

  #informers(): readonly { start(): void; stop(): void }[] {
    return [this.#pods, this.#namespaces, this.#authorizations, this.#peerAuthentications];
  }

  #podsChanged(changes: readonly ObjectChange<PodObject>[]): void {
    const touched = new Set<string>();
    for (const change of changes) {
      if (change.old !== undefined) this.#podByUid.delete(change.old.metadata.uid);
      if (change.new !== undefined) this.#podByUid.set(change.new.metadata.uid, change.new);
      for (const pod of [change.old, change.new]) if (pod !== undefined) touched.add(pod.metadata.uid);
    }
    this.#options.onPods([...touched]);
  }

  #namespacesChanged(changes: readonly ObjectChange<NamespaceObject>[]): void {
    const names = new Set(changes.map((change) => change.key));
    const pods = this.pods().filter((pod) => names.has(pod.metadata.namespace));
    this.#options.onPods(pods.map((pod) => pod.metadata.uid));
  }
}
