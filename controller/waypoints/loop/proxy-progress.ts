/** Pure. What ztunnels and waypoints, wherever they are connected, say about one waypoint's bindings. */
import type { PodObject } from "#core/k8s/object-types.ts";
import type { BindingFacts } from "../binding/binding-machine.ts";

/** One that is connected to some replica. */
export interface ConnectedProxy {
  readonly kind: "ztunnel" | "waypoint";
  readonly podUid: string;
  /** `namespace/pod`. */
  readonly pod: string;
  readonly node: string;
  /** `namespace/gateway` of a waypoint. */
  readonly waypoint: string | undefined;
  /** Whether it acts by everything that was published up to the moment in question. */
  readonly hasAll: boolean;
}

export interface ProgressInput {
  /** False while what is asked about has not been published. */
  readonly published: boolean;
  /** Replicas that have not published it. */
  readonly unpublished: readonly string[];
  readonly proxies: readonly ConnectedProxy[];
  /** Uids of those that are connected, or were a moment ago. */
  readonly recent: ReadonlySet<string>;
  /** Pods that should be connected ztunnels. */
  readonly ztunnels: readonly PodObject[];
  /** Nodes with pods that the waypoint serves. */
  readonly nodes: ReadonlySet<string>;
  readonly gateway: string;
  /** Pods that are the waypoint. */
  readonly waypointPods: readonly PodObject[];
}

export function bindingFacts(input: ProgressInput): Omit<BindingFacts, "watchedMs"> {
  const ztunnels = input.proxies.filter(({ kind }) => kind === "ztunnel");
  const connected = new Set(input.proxies.map(({ podUid }) => podUid));
  const ready = input.waypointPods.filter(
    ({ ready: isReady, metadata }) => isReady && metadata.deletionMs === undefined,
  );
  const away = input.ztunnels.filter(({ metadata }) => !connected.has(metadata.uid));
  return {
    published: input.published,
    unpublished: input.unpublished.map((name) => `replica ${name}`),
    readyWaypoints: ready.length,
    waypointsBehind: [
      ...input.proxies
        .filter((p) => p.waypoint === input.gateway && !p.hasAll)
        .map(({ pod }) => `pod ${pod}`),
      // It may serve by what it had before: nothing may rely on it.
      ...ready
        .filter(({ metadata }) => !connected.has(metadata.uid))
        .map(({ metadata }) => `pod ${metadata.namespace}/${metadata.name}`),
    ].toSorted(),
    destinationsBehind: [...input.nodes]
      .filter((node) => !hasNode(node, ztunnels))
      .map((node) => `node ${node}`)
      .toSorted(),
    // One on its way from replica to replica is waited for like one that is connected.
    sourcesBehind: [
      ...ztunnels.filter(({ hasAll }) => !hasAll),
      ...away.filter(({ metadata }) => input.recent.has(metadata.uid)),
    ]
      .map(({ node }) => `node ${node}`)
      .toSorted(),
    sourcesMissing: away
      .filter(({ metadata }) => !input.recent.has(metadata.uid))
      .map(({ node }) => `node ${node}`)
      .toSorted(),
  };
}

/** While one ztunnel follows another on a node, both have pods' connections. */
function hasNode(node: string, ztunnels: readonly ConnectedProxy[]): boolean {
  const here = ztunnels.filter((ztunnel) => ztunnel.node === node);
  return here.length > 0 && here.every(({ hasAll }) => hasAll);
}
