/**
 * All objects: one revision counter, a map and an event ring per resource, sqlite behind it. Synchronous: a write is on disk and
 * told to every listener before `put` returns. Stored objects are never changed; a new version replaces the old one.
 */
import { StatusError } from "../http/status-error.ts";
import type { ApiObject } from "../object.ts";
import { EventRing } from "./event-ring.ts";
import type { SqliteFile } from "./sqlite-file.ts";

export interface StoredObject {
  readonly object: ApiObject;
  /** The same as text: lists and watches write it without serialising again. */
  readonly json: string;
}

export interface StoreEvent {
  readonly revision: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly key: string;
  /** For DELETED: the last state under the revision of the deletion. */
  readonly current: StoredObject;
  readonly previous: StoredObject | undefined;
}

export type Listener = (event: StoreEvent) => void;
export type AnyListener = (resource: string, event: StoreEvent) => void;

interface Table {
  readonly items: Map<string, StoredObject>;
  readonly ring: EventRing;
  readonly listeners: Set<Listener>;
}

const DEFAULT_RING = 2000;

export class ObjectStore {
  readonly #tables = new Map<string, Table>();
  readonly #anyListeners = new Set<AnyListener>();
  readonly #file: SqliteFile | undefined;
  readonly #ringLimit: number;
  /** Watches from before this are refused: the events of an earlier run are gone, for every resource alike. */
  readonly #bootRevision: number;
  #revision: number;

  constructor(options: { readonly file?: SqliteFile; readonly ringLimit?: number } = {}) {
    this.#file = options.file;
    this.#ringLimit = options.ringLimit ?? DEFAULT_RING;
    this.#revision = options.file?.firstFreeRevision ?? 1;
    this.#bootRevision = this.#revision;
    this.#file?.reserve(this.#revision);
    for (const row of options.file?.load() ?? []) {
      this.#table(row.resource).items.set(row.key, {
        object: JSON.parse(row.json) as ApiObject,
        json: row.json,
      });
    }
  }

  get revision(): number {
    return this.#revision;
  }

  get(resource: string, key: string): ApiObject | undefined {
    return this.#tables.get(resource)?.items.get(key)?.object;
  }

  entries(resource: string): ReadonlyMap<string, StoredObject> {
    return this.#table(resource).items;
  }

  list(resource: string): readonly ApiObject[] {
    return [...this.#table(resource).items.values()].map((entry) => entry.object);
  }

  /** Ids of resources that have or had objects in this run. */
  resources(): readonly string[] {
    return [...this.#tables.keys()];
  }

  /** Stores an object, which the caller must never touch again, under a fresh revision. */
  put(resource: string, key: string, object: ApiObject): ApiObject {
    const table = this.#table(resource);
    const previous = table.items.get(key);
    const revision = this.#nextRevision();
    object.metadata.resourceVersion = String(revision);
    const current = { object, json: JSON.stringify(object) };
    this.#file?.put(resource, key, current.json);
    table.items.set(key, current);
    const type = previous === undefined ? "ADDED" : "MODIFIED";
    this.#emit(resource, table, { revision, type, key, current, previous });
    return object;
  }

  /** Removes an object; the result carries the revision of the deletion. */
  remove(resource: string, key: string): ApiObject | undefined {
    const table = this.#table(resource);
    const previous = table.items.get(key);
    if (previous === undefined) return undefined;
    const revision = this.#nextRevision();
    const metadata = { ...previous.object.metadata, resourceVersion: String(revision) };
    const object: ApiObject = { ...previous.object, metadata };
    this.#file?.remove(resource, key);
    table.items.delete(key);
    const current = { object, json: JSON.stringify(object) };
    this.#emit(resource, table, { revision, type: "DELETED", key, current, previous });
    return object;
  }

  /** Replays what happened after `since`, then follows. Throws 410 when that is too old and 504 when it is in the future. */
  watch(resource: string, since: number, listener: Listener): () => void {
    const table = this.#table(resource);
    this.refuseFuture(since);
    if (since < table.ring.trimmed) {
      throw new StatusError(410, `too old resource version: ${since} (${table.ring.trimmed})`);
    }
    for (const event of table.ring.after(since)) listener(event);
    return this.subscribe(resource, listener);
  }

  subscribe(resource: string, listener: Listener): () => void {
    const { listeners } = this.#table(resource);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  subscribeAll(listener: AnyListener): () => void {
    this.#anyListeners.add(listener);
    return () => this.#anyListeners.delete(listener);
  }

  refuseFuture(revision: number): void {
    if (revision <= this.#revision) return;
    throw new StatusError(504, `Too large resource version: ${revision}, current: ${this.#revision}`, {
      details: {
        causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
        retryAfterSeconds: 1,
      },
    });
  }

  close(): void {
    this.#file?.close();
  }

  #nextRevision(): number {
    this.#revision += 1;
    this.#file?.reserve(this.#revision);
    return this.#revision;
  }

  #emit(resource: string, table: Table, event: StoreEvent): void {
    table.ring.push(event);
    for (const listener of table.listeners) listener(event);
    for (const listener of this.#anyListeners) listener(resource, event);
  }

  #table(resource: string): Table {
    let table = this.#tables.get(resource);
    if (table === undefined) {
      table = {
        items: new Map(),
        ring: new EventRing(this.#ringLimit, this.#bootRevision),
        listeners: new Set(),
      };
      this.#tables.set(resource, table);
    }
    return table;
  }
}
