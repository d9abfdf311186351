/**
 * One watch: a JSON line per event, until the client goes, its time is over, or it reads too slowly. Headers leave before the first
 * event; a stream with bookmarks carries one every 15 s, since clients take 30 silent seconds for a dead connection.
 */
import type { ServerResponse } from "node:http";
import type { ApiObject, JsonMap } from "../object.ts";
import { apiVersionOf, type Resource } from "../registry/resource.ts";
import type { RestDeps } from "../rest/context.ts";
import { matchingEntries } from "../rest/list.ts";
import { inVersion } from "../rest/modify.ts";
import type { Match } from "../rest/selectors.ts";
import type { StoredObject, StoreEvent } from "../store/object-store.ts";
import { makeTable, partialMetadata } from "../view/table.ts";
import type { AnswerForm } from "./negotiate.ts";
import { badRequest, invalid, StatusError } from "./status-error.ts";

export interface WatchQuery {
  readonly namespace: string;
  readonly match: Match;
  readonly form: AnswerForm;
  readonly includeObject: string;
  readonly resourceVersion: string;
  readonly resourceVersionMatch: string;
  readonly sendInitialEvents: boolean;
  readonly bookmarks: boolean;
  readonly timeoutSeconds: number;
}

const BOOKMARK_MS = 15_000;
const MAX_BACKLOG = 32 * 1024 * 1024;
const DEFAULT_SECONDS = 1800;

/** Throws before anything is written when the query itself is wrong. */
export function streamWatch(
  deps: RestDeps,
  resource: Resource,
  query: WatchQuery,
  response: ServerResponse,
): void {
  checkQuery(resource, query);
  response.writeHead(200, { "content-type": "application/json", "cache-control": "no-cache, private" });
  response.flushHeaders();
  const encoder = new EventEncoder(deps, resource, query);
  const write = (line: string): void => {
    response.write(line);
    if (response.writableLength > MAX_BACKLOG) response.destroy(); // a reader this far behind must list again
  };
  let stop: () => void = () => undefined;
  try {
    stop = begin(deps, resource, query, { encoder, write });
  } catch (error) {
    const status = error instanceof StatusError ? error : new StatusError(500, "Internal error occurred");
    response.end(`${JSON.stringify({ type: "ERROR", object: status.toStatus() })}\n`);
    return;
  }
  const bookmark = (): void => write(encoder.bookmark(deps.store.revision, false));
  const ticker = query.bookmarks ? setInterval(bookmark, BOOKMARK_MS) : undefined;
  const life = query.timeoutSeconds > 0 ? query.timeoutSeconds : DEFAULT_SECONDS * (1 + Math.random()); // spread, or all come back together
  const end = setTimeout(() => {
    if (query.bookmarks) bookmark();
    response.end();
  }, life * 1000);
  response.on("close", () => {
    stop();
    clearInterval(ticker);
    clearTimeout(end);
  });
}

function checkQuery(resource: Resource, query: WatchQuery): void {
  if (query.resourceVersion !== "" && !/^\d{1,15}$/.test(query.resourceVersion)) {
    throw badRequest(
      `Invalid value: ${JSON.stringify(query.resourceVersion)}: strconv.ParseUint: parsing ${JSON.stringify(query.resourceVersion)}: invalid syntax`,
    );
  }
  if (query.sendInitialEvents && query.resourceVersionMatch !== "NotOlderThan") {
    const message =
      "Forbidden: resourceVersionMatch is required when sendInitialEvents is set; it must be NotOlderThan";
    throw invalid({ ...resource, kind: "ListOptions", group: "meta.k8s.io" }, "", [
      { field: "resourceVersionMatch", message, reason: "FieldValueForbidden" },
    ]);
  }
}

interface Sink {
  readonly encoder: EventEncoder;
  readonly write: (line: string) => void;
}

function begin(deps: RestDeps, resource: Resource, query: WatchQuery, { encoder, write }: Sink): () => void {
  const fromNow = query.sendInitialEvents || query.resourceVersion === "" || query.resourceVersion === "0";
  if (query.sendInitialEvents && query.resourceVersion !== "")
    deps.store.refuseFuture(Number(query.resourceVersion));
  if (fromNow) {
    for (const entry of matchingEntries(deps, resource, query)) write(encoder.event("ADDED", entry));
    if (query.sendInitialEvents && query.bookmarks) write(encoder.bookmark(deps.store.revision, true));
  }
  const prefix = resource.namespaced && query.namespace !== "" ? `${query.namespace}/` : "";
  return deps.store.watch(
    resource.id,
    fromNow ? deps.store.revision : Number(query.resourceVersion),
    (event) => {
      const line = event.key.startsWith(prefix) ? encoder.change(event) : undefined;
      if (line !== undefined) write(line);
    },
  );
}

class EventEncoder {
  readonly #deps: RestDeps;
  readonly #resource: Resource;
  readonly #query: WatchQuery;
  #columnsSent = false;

  constructor(deps: RestDeps, resource: Resource, query: WatchQuery) {
    this.#deps = deps;
    this.#resource = resource;
    this.#query = query;
  }

  /** Seen through the selector: entering it is ADDED, leaving it DELETED. */
  change(event: StoreEvent): string | undefined {
    const { match } = this.#query;
    const was = event.previous !== undefined && match(event.previous.object);
    const is = event.type !== "DELETED" && match(event.current.object);
    if (is) return this.event(was ? "MODIFIED" : "ADDED", event.current);
    if (!was || event.previous === undefined) return undefined;
    if (event.type === "DELETED") return this.event("DELETED", event.current);
    const { object } = event.previous;
    const left: ApiObject = {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(event.revision) },
    };
    return this.event("DELETED", { object: left, json: JSON.stringify(left) });
  }

  event(type: string, stored: StoredObject): string {
    return `{"type":"${type}","object":${this.#body(stored)}}\n`;
  }

  bookmark(revision: number, endOfInitial: boolean): string {
    const metadata: JsonMap = { resourceVersion: String(revision), creationTimestamp: null };
    if (endOfInitial) metadata["annotations"] = { "k8s.io/initial-events-end": "true" };
    const { form } = this.#query;
    const kind =
      form === "table" ? "Table" : form === "partial" ? "PartialObjectMetadata" : this.#resource.kind;
    const apiVersion = form === "object" ? apiVersionOf(this.#resource) : "meta.k8s.io/v1";
    const table = form === "table" ? { columnDefinitions: null, rows: [] } : {};
    return `${JSON.stringify({ type: "BOOKMARK", object: { kind, apiVersion, metadata, ...table } })}\n`;
  }

  #body(stored: StoredObject): string {
    const { form, includeObject } = this.#query;
    if (form === "partial") return JSON.stringify(partialMetadata(stored.object));
    if (form !== "table") return storedJson(this.#resource, stored);
    const withColumns = !this.#columnsSent;
    this.#columnsSent = true;
    const metadata = { resourceVersion: stored.object.metadata.resourceVersion };
    return JSON.stringify(
      makeTable(this.#resource, [stored.object], {
        metadata,
        includeObject,
        withColumns,
        nowMs: this.#deps.clock.nowMs(),
      }),
    );
  }
}

/** The stored text, unless it was stored under another version. */
export function storedJson(resource: Resource, stored: StoredObject): string {
  const asked = inVersion(resource, stored.object);
  return asked === stored.object ? stored.json : JSON.stringify(asked);
}
