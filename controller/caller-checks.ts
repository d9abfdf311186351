/** Wires authentication and the CA: token reviews, rate limits, node check, issue. */
import type { Clock } from "#core/base/clock.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import type { Logger } from "#core/runtime/log.ts";
import { CaService } from "./ca/ca-service.ts";
import { Authenticator } from "./ca/caller-identity.ts";
import { clusterView } from "./ca/cluster-view.ts";
import { EarlyRequests } from "./ca/early-requests.ts";
import { RateLimit } from "./ca/rate-limit.ts";
import type { RootStore } from "./ca/root-store.ts";
import { TokenReviews } from "./ca/token-review.ts";
import type { ControllerConfig } from "./config.ts";
import type { MeshGraph } from "./mesh-graph.ts";
import type { WaypointPods } from "./waypoints/gateway/waypoint-pods.ts";

export interface CallerCheckDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly graph: MeshGraph;
  readonly store: RootStore;
  readonly waypoints: WaypointPods;
  readonly count: (outcome: string) => void;
}

/** A node's ztunnel asks for all its pods' certificates at start: about a hundred at once. */
const PER_CALLER = { perSecond: 50, burst: 400 };
const PER_SOURCE = { perSecond: 100, burst: 800 };

export function makeCallerChecks(
  config: ControllerConfig,
  deps: CallerCheckDeps,
): { readonly authenticator: Authenticator; readonly ca: CaService } {
  const { client, clock, graph, store, waypoints, count } = deps;
  const log = deps.log.child("ca");
  const cluster = clusterView(graph.sources);
  const nowMs = (): number => clock.monotonicMs();
  const authenticator = new Authenticator({
    reviews: new TokenReviews({ client, clock, log, audiences: config.audiences }),
    cluster,
    audiences: config.audiences,
    clusterIds: config.clusterIds,
    perSource: new RateLimit(PER_SOURCE, nowMs),
    perCaller: new RateLimit(PER_CALLER, nowMs),
    nowMs: () => clock.nowMs(),
  });
  const ca = new CaService({
    authenticator,
    material: () => store.material.get(),
    nodeCheck: () => ({ ...config.nodeCheck, trustDomain: graph.index.mesh().trustDomain }),
    facts: cluster,
    waypoints,
    early: new EarlyRequests(nowMs),
    issue: config.issue,
    clock,
    log,
    count,
  });
  return { authenticator, ca };
}
