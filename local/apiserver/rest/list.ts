/** Lists: sorted by key, filtered, in pages that all show one revision. */
import { StatusError } from "../http/status-error.ts";
import type { Resource } from "../registry/resource.ts";
import type { StoredObject } from "../store/object-store.ts";
import type { Page } from "../store/page-snapshots.ts";
import type { RestDeps } from "./context.ts";
import type { Match } from "./selectors.ts";

export interface ListQuery {
  readonly namespace: string;
  readonly match: Match;
  /** 0 for everything. */
  readonly limit: number;
  readonly continueToken: string;
  /** "" or a revision. */
  readonly resourceVersion: string;
  readonly resourceVersionMatch: string;
}

export function listObjects(deps: RestDeps, resource: Resource, query: ListQuery): Page {
  if (query.continueToken !== "") return deps.pages.next(query.continueToken, query.limit);
  const revision = Number(query.resourceVersion || "0");
  deps.store.refuseFuture(revision);
  if (query.resourceVersionMatch === "Exact" && revision !== deps.store.revision) {
    throw new StatusError(410, "The provided resource version is not available.");
  }
  return deps.pages.first(matchingEntries(deps, resource, query), deps.store.revision, query.limit);
}

export function matchingEntries(
  deps: RestDeps,
  resource: Resource,
  query: { readonly namespace: string; readonly match: Match },
): StoredObject[] {
  const items = deps.store.entries(resource.id);
  const prefix = resource.namespaced && query.namespace !== "" ? `${query.namespace}/` : "";
  const found: [string, StoredObject][] = [];
  for (const entry of items) {
    if (entry[0].startsWith(prefix) && query.match(entry[1].object)) found.push(entry);
  }
  return found.toSorted((a, b) => (a[0] < b[0] ? -1 : 1)).map(([, stored]) => stored);
}
