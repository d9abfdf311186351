/** Pure. What all live replicas together say about one waypoint. Every doubt counts as "not yet". */
import type { ConnectedProxy } from "../waypoints/loop/proxy-progress.ts";
import type { GatewayReport, ReportedProxy } from "./replica-report.ts";
import type { LiveReplica } from "./replica-sightings.ts";

export interface SeenByAll {
  /** Every live replica has published what follows from the present state of the waypoint, and this one's own word of it has come back. */
  readonly published: boolean;
  /** Names of those that have not. */
  readonly unpublished: readonly string[];
  readonly proxies: readonly ConnectedProxy[];
}

/**
 * The own report counts as it has come back by the watch, not as it is: with it came the Lease of every replica that began before it was
 * written, and who begins later begins with what is there then.
 */
export function mergeReports(live: readonly LiveReplica[], gateway: string, text: string): SeenByAll {
  const question = { gateway, text, view: viewText(live.map(({ holder }) => holder)) };
  const unpublished = live.filter(({ report }) => aboutText(report, question) === undefined);
  const proxies = new Map<string, ConnectedProxy>();
  for (const { report } of live) {
    const about = aboutText(report, question);
    for (const proxy of report.ok ? report.value.proxies : []) {
      const isBehind = about?.behind.has(proxy.podUid) !== false;
      if (!proxy.hasLeft || isBehind) add(proxies, proxy, isBehind);
    }
  }
  const isHeard = live.some(({ isOwn }) => isOwn);
  return {
    published: isHeard && unpublished.length === 0,
    unpublished: unpublished.map(({ name }) => name).toSorted(),
    proxies: [...proxies.values()],
  };
}

/** On its way from one replica to another it is with both: what either does not know of is not there yet. */
function add(
  proxies: Map<string, ConnectedProxy>,
  { podUid, pod, node, waypoint }: ReportedProxy,
  isBehind: boolean,
): void {
  const kind = waypoint === undefined ? "ztunnel" : "waypoint";
  const hasAll = !isBehind && proxies.get(podUid)?.hasAll !== false;
  proxies.set(podUid, { podUid, pod, node, waypoint, kind, hasAll });
}

interface Question {
  readonly gateway: string;
  readonly text: string;
  readonly view: string;
}

/**
 * Undefined for a replica that has published something else, or nothing that can be read, or that counts on others than we do: only what it
 * says after it has seen another one end is true of clients that the other may have taken back.
 */
function aboutText(
  report: LiveReplica["report"],
  { gateway, text, view }: Question,
): GatewayReport | undefined {
  if (!report.ok || viewText(report.value.view) !== view) return undefined;
  const about = report.value.gateways.get(gateway);
  return about?.text === text ? about : undefined;
}

function viewText(holders: readonly string[]): string {
  return holders.toSorted().join();
}
