/**
 * A live, projected copy of one kind: paged plain-JSON list, then watch with bookmarks; resumes by itself for ever.
 * Cache, diff after 410 and resume are client-node's `ListWatch`; list and watch are ours (`kube-watch.ts`), so that
 * every object is projected before it is kept. Changes come as ONE batch per turn of the event loop, a relist's whole
 * diff included. While the API is away the last known state is served; a failing kind never looks empty.
 */
import { type KubernetesListObject, type KubernetesObject, ListWatch } from "@kubernetes/client-node";
import { type Clock, systemClock } from "../base/clock.ts";
import { createBackoff } from "../base/backoff.ts";
import { AmbitError, describeError } from "../runtime/errors.ts";
import type { Logger } from "../runtime/log.ts";
import { jsonList, jsonObject, jsonText } from "./json-read.ts";
import { type Kind, kindPath } from "./kinds.ts";
import { type KubeClient, kubeStatus } from "./kube-client.ts";
import { KubeWatch } from "./kube-watch.ts";
import { type KubeObject, objectKey } from "./object-types.ts";

export interface ObjectChange<T> {
  readonly key: string;
  readonly old: T | undefined;
  /** Undefined when the object is gone. */
  readonly new: T | undefined;
}

export interface InformerOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly kind: Kind;
  /** Plain JSON to what is kept; must not throw. */
  readonly project: (raw: unknown) => T;
  /** All namespaces unless given. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Changes of one turn. Called at least once after the first list, perhaps with no change. */
  readonly onBatch?: (changes: readonly ObjectChange<T>[]) => void;
}

export interface InformerHealth {
  readonly synced: boolean;
  /** Empty while all is well; else what failed last, such as a missing RBAC rule. */
  readonly error: string;
  /** Monotonic milliseconds of the last sign of life. */
  readonly lastContactMs: number;
}

const PAGE_SIZE = "500";
const MAX_RECONNECT_DELAY_MS = 2_000;

export class Informer<T extends KubeObject> {
  readonly #options: InformerOptions<T>;
  readonly #clock: Clock;
  readonly #backoff = createBackoff({ firstMs: 500, maxMs: 30_000 });
  readonly #objects = new Map<string, T>();
  readonly #pending = new Map<string, T | undefined>();
  readonly #stopped = new AbortController();
  readonly #watch: KubeWatch;
  readonly #listWatch: ListWatch<KubernetesObject>;
  /** When the list began that was applied last, and since when one is wanted. */
  #listedFromMs = 0;
  #currentFromMs = 0;
  #wantedFromMs = 0;
  #flushScheduled = false;
  #listed = false;
  #synced = false;
  #error = "";
  #lastContactMs = 0;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#watch = new KubeWatch({
      client: options.client,
      project: options.project,
      signal: this.#stopped.signal,
      onContact: () => this.#contact(),
      log: options.log,
    });
    this.#listWatch = new ListWatch<KubernetesObject>(
      kindPath(options.kind, { namespace: options.namespace }),
      this.#watch,
      () => this.#list() as unknown as Promise<KubernetesListObject<KubernetesObject>>,
      false,
      options.labelSelector,
      options.fieldSelector,
      { delayFn: (ms) => this.#clock.sleep(Math.min(ms, MAX_RECONNECT_DELAY_MS), this.#stopped.signal) },
    );
    this.#listWatch.on("add", (object) => this.#note(object as unknown as T, false));
    this.#listWatch.on("update", (object) => this.#note(object as unknown as T, false));
    this.#listWatch.on("delete", (object) => this.#note(object as unknown as T, true));
    this.#listWatch.on("error", (error: unknown) => this.#failed(error));
  }

  /** Begins; returns at once. */
  start(): void {
    this.#run();
  }

  stop(): void {
    this.#stopped.abort(new DOMException("informer stopped", "AbortError"));
    void this.#listWatch.stop();
  }

  /** True once a complete list has been applied; stays true. */
  hasSynced(): boolean {
    return this.#synced;
  }

  /** Lists anew, whatever the watch says: it may have been cut off without knowing. */
  reread(): void {
    this.#wantedFromMs = this.#clock.monotonicMs();
    this.#watch.expire();
  }

  /** Whether a list that began after the last `reread` has been applied. */
  isCurrent(): boolean {
    return this.#synced && this.#currentFromMs >= this.#wantedFromMs;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  /** By `objectKey`. */
  objects(): ReadonlyMap<string, T> {
    return this.#objects;
  }

  health(): InformerHealth {
    return { synced: this.#synced, error: this.#error, lastContactMs: this.#lastContactMs };
  }

  #run(): void {
    this.#listWatch.start().catch((error: unknown) => this.#failed(error));
  }

  /** `ListWatch` ends for good on most errors; this starts it again from the version it had. */
  #failed(error: unknown): void {
    if (this.#stopped.signal.aborted) return;
    const delayMs = this.#backoff.next();
    this.#error = explain(error, this.#options.kind);
    this.#options.log.warn(
      { kind: this.#options.kind.plural, error: this.#error, retry_ms: Math.round(delayMs) },
      "watch interrupted",
    );
    this.#clock.sleep(delayMs, this.#stopped.signal).then(
      () => this.#run(),
      () => undefined,
    );
  }

  #contact(): void {
    this.#lastContactMs = this.#clock.monotonicMs();
    this.#error = "";
    this.#backoff.reset();
  }

  async #list(): Promise<unknown> {
    const items: T[] = [];
    const startMs = this.#clock.monotonicMs();
    this.#watch.renew();
    let version = "";
    let next: string | undefined;
    do {
      const page = jsonObject(await this.#page(next));
      const metadata = jsonObject(page["metadata"]);
      for (const item of jsonList(page["items"])) items.push(this.#options.project(item));
      version = jsonText(metadata["resourceVersion"]);
      next = jsonText(metadata["continue"]) || undefined;
    } while (next !== undefined);
    this.#refuseOlder(version);
    this.#contact();
    this.#listed = true;
    this.#listedFromMs = startMs;
    this.#scheduleFlush();
    return { items, metadata: { resourceVersion: version } };
  }

  #page(next: string | undefined): Promise<unknown> {
    const { client, kind, namespace, labelSelector, fieldSelector } = this.#options;
    return client.json({
      method: "GET",
      path: kindPath(kind, { namespace }),
      query: { limit: PAGE_SIZE, continue: next, labelSelector, fieldSelector },
      signal: this.#stopped.signal,
    });
  }

  /** An API server restored from a backup must not take the mesh back in time unnoticed. */
  #refuseOlder(version: string): void {
    const newest = this.#newestVersion();
    if (newest === undefined || !/^\d+$/.test(version) || BigInt(version) >= newest) return;
    throw new AmbitError(
      "KUBE_LIST_TOO_OLD",
      `the list of ${this.#options.kind.plural} is older than the cache`,
    );
  }

  #newestVersion(): bigint | undefined {
    const text = this.#listWatch.latestResourceVersion();
    return /^\d+$/.test(text) ? BigInt(text) : undefined;
  }

  #note(object: T, gone: boolean): void {
    this.#pending.set(objectKey(object), gone ? undefined : object);
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushScheduled = false;
    const changes: ObjectChange<T>[] = [];
    for (const [key, value] of this.#pending) {
      const old = this.#objects.get(key);
      if (value === undefined && old === undefined) continue;
      if (value === undefined) this.#objects.delete(key);
      else this.#objects.set(key, value);
      changes.push({ key, old, new: value });
    }
    this.#pending.clear();
    const first = this.#listed && !this.#synced;
    this.#synced = this.#listed;
    this.#currentFromMs = this.#listedFromMs;
    if ((first || changes.length > 0) && !this.#stopped.signal.aborted) this.#options.onBatch?.(changes);
  }
}

function explain(error: unknown, kind: Kind): string {
  if (kubeStatus(error) !== 403) return describeError(error);
  return `missing RBAC rule: get, list, watch ${kind.plural}${kind.group === "" ? "" : `.${kind.group}`}`;
}
