/**
 * One informer per kind into the graph's sources. Nothing may be answered to clients before EVERY kind has synced:
 * a half-filled first answer would delete. After that the last known state is served, whatever happens to the API.
 */
import type { Clock } from "#core/base/clock.ts";
import { Informer, type InformerHealth } from "#core/k8s/informer.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import type { KubeObject } from "#core/k8s/object-types.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { StaticCollection } from "../collections/static.ts";
import type { Sources } from "../sources.ts";
import { type AnySourceKind, sourceKinds } from "./source-kinds.ts";

export interface KubeSourceDeps {
  readonly client: KubeClient;
  readonly log: Logger;
  readonly clock: Clock;
  /** Some source changed, or a kind has synced. */
  readonly onChange: () => void;
}

export class KubeSource {
  readonly #informers: ReadonlyMap<string, Informer<never>>;

  constructor(sources: Sources, systemNamespace: string, deps: KubeSourceDeps) {
    this.#informers = new Map(
      sourceKinds(sources).map((kind) => [kind.kind.plural, informerFor(kind, systemNamespace, deps)]),
    );
  }

  start(): void {
    for (const informer of this.#informers.values()) informer.start();
  }

  stop(): void {
    for (const informer of this.#informers.values()) informer.stop();
  }

  hasSynced(): boolean {
    return [...this.#informers.values()].every((informer) => informer.hasSynced());
  }

  /** Every kind is listed anew. */
  reread(): void {
    for (const informer of this.#informers.values()) informer.reread();
  }

  isCurrent(): boolean {
    return [...this.#informers.values()].every((informer) => informer.isCurrent());
  }

  /** By plural name of the kind. */
  health(): ReadonlyMap<string, InformerHealth> {
    return new Map([...this.#informers].map(([name, informer]) => [name, informer.health()]));
  }
}

function informerFor(kind: AnySourceKind, systemNamespace: string, deps: KubeSourceDeps): Informer<never> {
  const collection = kind.collection as unknown as StaticCollection<KubeObject>;
  const informer = new Informer<KubeObject>({
    client: deps.client,
    kind: kind.kind,
    project: kind.project,
    ...(kind.systemOnly === true && { namespace: systemNamespace }),
    ...(kind.labelSelector !== undefined && { labelSelector: kind.labelSelector }),
    ...(kind.fieldSelector !== undefined && { fieldSelector: kind.fieldSelector }),
    log: deps.log,
    clock: deps.clock,
    onBatch: (changes) => {
      collection.apply(changes.map((change) => [change.key, change.new] as const));
      deps.onChange();
    },
  });
  return informer as unknown as Informer<never>;
}
