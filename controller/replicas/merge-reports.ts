/** Pure. What all live replicas together say about one waypoint. Every doubt counts as "not yet". */
import type { ConnectedProxy } from "../waypoints/proxy-progress.ts";
import type { GatewayReport } from "./replica-report.ts";
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
  const unpublished = live.filter(({ report }) => aboutText(report, gateway, text) === undefined);
  const proxies = new Map<string, ConnectedProxy>();
  for (const { report } of live) {
    const about = aboutText(report, gateway, text);
    for (const proxy of report.ok ? report.value.proxies : []) {
      // On its way from one replica to another it is with both: what either does not know of is not there yet.
      const hasAll = about?.behind.has(proxy.podUid) === false && proxies.get(proxy.podUid)?.hasAll !== false;
      const kind = proxy.waypoint === undefined ? "ztunnel" : "waypoint";
      proxies.set(proxy.podUid, { ...proxy, kind, hasAll });
    }
  }
  const isHeard = live.some(({ isOwn }) => isOwn);
  return {
    published: isHeard && unpublished.length === 0,
    unpublished: unpublished.map(({ name }) => name).toSorted(),
    proxies: [...proxies.values()],
  };
}

/** Undefined for a replica that has published something else, or nothing that can be read. */
function aboutText(report: LiveReplica["report"], gateway: string, text: string): GatewayReport | undefined {
  const about = report.ok ? report.value.gateways.get(gateway) : undefined;
  return about?.text === text ? about : undefined;
}
