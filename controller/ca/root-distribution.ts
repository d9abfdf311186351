/**
 * ConfigMap `istio-ca-root-cert` with the trust anchors in every namespace, written by the leader: for new namespaces,
 * when the roots change, and again every ten minutes, since a namespace's owner can change it.
 */
import type { Clock } from "#core/base/clock.ts";
import { serverSideApply } from "#core/k8s/apply.ts";
import { CONFIG_MAP } from "#core/k8s/kinds.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { ROOT_CERT_CONFIGMAP } from "#core/model/well-known.ts";
import type { Sources } from "../sources.ts";
import type { WriteQueue } from "../status/write-queue.ts";

export interface RootDistributionDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly queue: WriteQueue;
  readonly sources: Sources;
  readonly rootsPem: () => string | undefined;
}

/** Namespaces in which no workload of the mesh can be. */
const LEFT_OUT: ReadonlySet<string> = new Set(["kube-public", "kube-node-lease", "local-path-storage"]);
const FIELD_MANAGER = "ambit-controller-roots";
const REPEAT_MS = 600_000;

export class RootDistribution {
  readonly #deps: RootDistributionDeps;
  #cancel: () => void = () => undefined;

  constructor(deps: RootDistributionDeps) {
    this.#deps = deps;
    deps.sources.namespaces.subscribe((changes) => {
      for (const change of changes) if (change.old === undefined) this.#put(change.key);
    });
  }

  /** All namespaces, now and every ten minutes. */
  writeAll(): void {
    this.#cancel();
    this.#cancel = this.#deps.clock.after(REPEAT_MS, () => this.writeAll());
    for (const [name] of this.#deps.sources.namespaces.entries()) this.#put(name);
  }

  stop(): void {
    this.#cancel();
  }

  #put(namespace: string): void {
    const { client, queue, sources, rootsPem } = this.#deps;
    if (LEFT_OUT.has(namespace)) return;
    queue.put(`roots ${namespace}`, async () => {
      const roots = rootsPem();
      const object = sources.namespaces.get(namespace);
      if (roots === undefined || object === undefined || object.terminating) return;
      await serverSideApply(
        client,
        { kind: CONFIG_MAP, namespace, name: ROOT_CERT_CONFIGMAP },
        { metadata: { labels: { "istio.io/config": "true" } }, data: { "root-cert.pem": roots } },
        { fieldManager: FIELD_MANAGER, force: true },
      );
    });
  }
}
