/** Writes: server-side apply (own field manager), merge patch, create. One request each, never retried here. */
import type { KubeClient } from "./kube-client.ts";
import { apiVersion, type Kind, kindPath } from "./kinds.ts";

export interface ApplyTarget {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
  readonly subresource?: string;
}

export interface ApplyOptions {
  readonly fieldManager: string;
  /** Take fields over from other managers instead of failing with 409. */
  readonly force?: boolean;
  readonly signal?: AbortSignal;
}

/** Server-side apply of `content` (without apiVersion, kind and metadata.name, which are added). */
export function serverSideApply(
  client: KubeClient,
  target: ApplyTarget,
  content: Readonly<Record<string, unknown>>,
  options: ApplyOptions,
): Promise<unknown> {
  const { kind, namespace, name, subresource } = target;
  const given = (content["metadata"] ?? {}) as Readonly<Record<string, unknown>>;
  const metadata = { ...given, name, ...(kind.namespaced && { namespace }) };
  return client.json({
    method: "PATCH",
    path: kindPath(kind, { namespace, name, ...(subresource !== undefined && { subresource }) }),
    query: { fieldManager: options.fieldManager, force: options.force === true ? "true" : undefined },
    contentType: "application/apply-patch+yaml",
    body: { ...content, apiVersion: apiVersion(kind), kind: kind.kind, metadata },
    signal: options.signal,
  });
}

/** JSON merge patch (RFC 7396). */
export function mergePatch(
  client: KubeClient,
  target: ApplyTarget,
  patch: Readonly<Record<string, unknown>>,
  signal?: AbortSignal,
): Promise<unknown> {
  const { kind, namespace, name, subresource } = target;
  return client.json({
    method: "PATCH",
    path: kindPath(kind, { namespace, name, ...(subresource !== undefined && { subresource }) }),
    contentType: "application/merge-patch+json",
    body: patch,
    signal,
  });
}

/** POST to the collection. */
export function createObject(
  client: KubeClient,
  kind: Kind,
  namespace: string,
  object: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  return client.json({
    method: "POST",
    path: kindPath(kind, { namespace }),
    body: { ...object, apiVersion: apiVersion(kind), kind: kind.kind },
  });
}
