/**
 * What this replica has published and what its clients have in force, waypoint by waypoint. Told to the other replicas, and to itself by the
 * same way.
 */
import type { Clock } from "#core/base/clock.ts";
import { hasAcknowledged, markOf, type PublishedMark } from "../push/acknowledgements.ts";
import type { ClientStream } from "../push/client-stream.ts";
import type { ResourceType } from "../push/published-state.ts";
import type { MeshGraph } from "../mesh-graph.ts";
import type { Refusals } from "../status/refusals.ts";
import type { WaypointGateway } from "../waypoints/gateway/waypoint-gateway.ts";
import {
  MAX_REASON,
  MAX_REFUSALS,
  NO_REPORT,
  type Refusal,
  type ReplicaReport,
  type ReportedProxy,
} from "./replica-report.ts";

export interface OwnReportDeps {
  readonly graph: MeshGraph;
  readonly streams: () => readonly ClientStream[];
  readonly refusals: Refusals;
  /** See `gateway-text.ts`. */
  readonly textOf: (gateway: WaypointGateway) => string;
  readonly clock: Clock;
  /** Other replicas live. */
  readonly hasOthers: () => boolean;
}

/** A client that has left, most often for another replica. */
interface Departed {
  readonly proxy: ReportedProxy;
  readonly leftMs: number;
  /** Texts whose consequences it had in force. */
  readonly had: ReadonlySet<string>;
}

/** Longer than another replica's last word about it can be believed. */
const DEPARTED_MS = 30_000;

/** From when on everything that follows from `text` was public. */
interface Settled {
  readonly text: string;
  noted: number | undefined;
  mark: PublishedMark | undefined;
}

const ZTUNNEL_TYPES: readonly ResourceType[] = ["authorization", "address"];
const WAYPOINT_TYPES: readonly ResourceType[] = ["waypoint", "address"];

export class OwnReport {
  readonly #deps: OwnReportDeps;
  readonly #settled = new Map<string, Settled>();
  readonly #departed = new Map<string, Departed>();
  /** Clients as of the last report, with what they had. */
  #present: ReadonlyMap<string, Omit<Departed, "leftMs">> = new Map();

  constructor(deps: OwnReportDeps) {
    this.#deps = deps;
  }

  /** As of now. Without waypoints there is nothing that anybody waits for. */
  now(): ReplicaReport {
    const { graph, streams } = this.#deps;
    const refused = this.#refused();
    const gateways = [...graph.index.waypoints.gateways.values()];
    this.#forget(new Set(gateways.map(({ key }) => key)));
    if (!graph.isPublished || gateways.length === 0) return { ...NO_REPORT, refused };
    const clients = streams().flatMap((stream) => {
      const proxy = reported(stream);
      return proxy === undefined ? [] : [{ stream, proxy }];
    });
    const present = new Map(clients.map(({ proxy }) => [proxy.podUid, { proxy, had: new Set<string>() }]));
    this.#noteDeparted(present);
    const published = gateways.flatMap((gateway) => {
      const { text, mark } = this.#settle(gateway);
      if (mark === undefined) return [];
      const behind = clients.flatMap(({ stream, proxy: { podUid } }) => {
        if (!hasAll(stream, gateway, { mark, graph })) return [podUid];
        present.get(podUid)?.had.add(text);
        return [];
      });
      // Another replica may still say that it had more than we gave it.
      const left = [...this.#departed].flatMap(([podUid, { had }]) => (had.has(text) ? [] : [podUid]));
      return [[gateway.key, { text, behind: new Set([...behind, ...left]) }] as const];
    });
    this.#present = present;
    const departed = [...this.#departed.values()].map(({ proxy }) => ({ ...proxy, hasLeft: true }));
    const proxies = [...clients.map(({ proxy }) => proxy), ...departed];
    return { view: [], proxies, gateways: new Map(published), refused };
  }

  #noteDeparted(present: ReadonlyMap<string, unknown>): void {
    const { clock, graph, hasOthers } = this.#deps;
    const nowMs = clock.monotonicMs();
    for (const [podUid, one] of this.#present)
      if (!present.has(podUid)) this.#departed.set(podUid, { ...one, leftMs: nowMs });
    for (const [podUid, { leftMs, proxy }] of this.#departed) {
      const isGone = graph.sources.pods.get(proxy.pod)?.metadata.uid !== podUid;
      const isOver = nowMs - leftMs >= DEPARTED_MS || isGone || !hasOthers();
      if (present.has(podUid) || isOver) this.#departed.delete(podUid);
    }
  }

  #settle(gateway: WaypointGateway): Settled {
    const { graph, textOf } = this.#deps;
    const text = textOf(gateway);
    const known = this.#settled.get(gateway.key);
    const settled = known?.text === text ? known : { text, noted: undefined, mark: undefined };
    this.#settled.set(gateway.key, settled);
    settled.noted ??= graph.noted();
    if (settled.mark === undefined && settled.noted !== undefined && graph.isPublishedTo(settled.noted))
      settled.mark = markOf(graph.published);
    return settled;
  }

  #forget(present: ReadonlySet<string>): void {
    for (const key of this.#settled.keys()) if (!present.has(key)) this.#settled.delete(key);
  }

  /** Of policies as they are now. */
  #refused(): readonly Refusal[] {
    const { graph, refusals } = this.#deps;
    return refusals
      .all()
      .filter(({ name, version }) => graph.index.authorizations.get(name)?.version === version)
      .slice(0, MAX_REFUSALS)
      .map((one) => ({ ...one, reason: one.reason.slice(0, MAX_REASON) }));
  }
}

/** Undefined before the client has said who it is. */
function reported({ caller, client, state, waypoint }: ClientStream): ReportedProxy | undefined {
  if (client === undefined || state === undefined) return undefined;
  const { podUid, namespace, podName, nodeName } = caller;
  return { podUid, pod: `${namespace}/${podName}`, node: nodeName, waypoint, hasLeft: false };
}

/** Whether a client acts by everything that was published up to the mark and that the waypoint is about. */
function hasAll(
  { state, waypoint }: ClientStream,
  { namespace }: WaypointGateway,
  { mark, graph }: { readonly mark: PublishedMark; readonly graph: MeshGraph },
): boolean {
  if (state === undefined) return false;
  const types = waypoint === undefined ? ZTUNNEL_TYPES : WAYPOINT_TYPES;
  const { rootNamespace, clusterId } = graph.index.mesh();
  const prefixes = [`${namespace}/`, `${rootNamespace}/`, `${clusterId}//Pod/${namespace}/`];
  const concerns = (_type: ResourceType, name: string): boolean =>
    prefixes.some((prefix) => name.startsWith(prefix));
  return hasAcknowledged(state, { types, mark, concerns }, graph.published);
}
