/** Builders of what the agent reads from the API. */
import type { NamespaceObject, ObjectMeta, PodObject } from "#core/k8s/object-types.ts";
import type { Netns } from "#core/linux/netns.ts";

export function aMeta(change: Partial<ObjectMeta> = {}): ObjectMeta {
  return {
    name: "web-1",
    namespace: "shop",
    uid: "11111111-2222-3333-4444-555555555555",
    resourceVersion: "1",
    generation: 1,
    creationMs: 0,
    deletionMs: undefined,
    labels: {},
    annotations: {},
    ...change,
  };
}

export function aPod(
  change: Partial<Omit<PodObject, "metadata">> & { readonly metadata?: Partial<ObjectMeta> } = {},
): PodObject {
  const { metadata, ...rest } = change;
  return {
    metadata: aMeta(metadata),
    owner: undefined,
    serviceAccount: "web",
    node: "n1",
    hostNetwork: false,
    ips: ["10.244.1.5"],
    ports: [],
    ready: true,
    phase: "Running",
    foreignProbeHosts: [],
    ...rest,
  };
}

export function aNamespace(mode: string | undefined, name = "shop"): NamespaceObject {
  const labels = mode === undefined ? {} : { "istio.io/dataplane-mode": mode };
  return { metadata: aMeta({ name, namespace: "", labels }), terminating: false };
}

/** A namespace handle that belongs to nobody; `closed` counts. */
export function aNetns(inode: bigint): Netns & { closed: number } {
  const netns = { fd: 77, inode, closed: 0, close: () => void netns.closed++ };
  return netns;
}
