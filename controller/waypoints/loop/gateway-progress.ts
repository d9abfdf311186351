/** What the reconciler remembers about one Gateway between two looks. Nothing of it is missed after a restart. */
import type { PodObject } from "#core/k8s/object-types.ts";
import type { SeenByAll } from "../../replicas/merge-reports.ts";
import { type Attempts, newAttempts } from "./attempts.ts";
import { type BindingFacts, NO_FACTS_YET } from "../binding/binding-machine.ts";
import { bindingFacts } from "./proxy-progress.ts";
import type { GatewayView } from "../status/waypoint-view.ts";
import type { WaypointGateway } from "../gateway/waypoint-gateway.ts";

export interface GatewayProgress {
  /** The record that was written and has not come back by the watch yet: no decision is made on an older one. */
  awaited: string | undefined;
  awaitedMs: number;
  provideAtMs: number;
  /** At its objects. What is bound must be able to leave though they cannot be made. */
  provision: Attempts;
  /** At its record, and at removing it. */
  steps: Attempts;
  leaving: boolean;
  /** Somebody else's object of its name. */
  obstacle: string | undefined;
  /** What was wrong with a record that had to be made anew. */
  restored: string | undefined;
  deploymentUid: string;
  addresses: readonly string[];
}

export interface ProgressSource {
  /** Whether all inputs are there and the first state has been published. */
  isReady(): boolean;
  isTerminating(namespace: string): boolean;
  /** What all replicas say about the waypoint as it is now. */
  seen(gateway: WaypointGateway): SeenByAll;
  /** Uids of proxies that are connected to some replica, or were a moment ago. */
  recentProxies(): ReadonlySet<string>;
  ztunnels(): readonly PodObject[];
  /** Nodes with pods that the waypoint serves. */
  nodes(gateway: WaypointGateway): ReadonlySet<string>;
  waypointPods(gateway: WaypointGateway): readonly PodObject[];
  /** The same by label and account alone: while they drain, the owners that show what they are may be gone already. */
  remainingPods(gateway: WaypointGateway): readonly PodObject[];
}

export function newProgress(): GatewayProgress {
  return {
    awaited: undefined,
    awaitedMs: 0,
    provideAtMs: 0,
    provision: newAttempts(),
    steps: newAttempts(),
    leaving: false,
    obstacle: undefined,
    restored: undefined,
    deploymentUid: "",
    addresses: [],
  };
}

/** About the record as it is now. */
export function factsOf(gateway: WaypointGateway, source: ProgressSource): Omit<BindingFacts, "watchedMs"> {
  return bindingFacts({
    ...source.seen(gateway),
    recent: source.recentProxies(),
    ztunnels: source.ztunnels(),
    nodes: source.nodes(gateway),
    gateway: gateway.key,
    waypointPods: source.waypointPods(gateway),
  });
}

/** Objects are compared with what they should be this often, whatever happens. */
export const RESYNC_MS = 30_000;
/** And this often while there is no pod: somebody may have deleted what makes them, and callers wait. */
const MISSING_MS = 2_000;

export function isProvisionDue(
  { provideAtMs, obstacle }: Pick<GatewayProgress, "provideAtMs" | "obstacle">,
  { record }: Pick<WaypointGateway, "record">,
  pods: readonly PodObject[],
  nowMs: number,
): boolean {
  if (nowMs >= provideAtMs) return true;
  if (record.deploymentUid === "") return obstacle === undefined;
  const isMissing = pods.every(({ metadata }) => metadata.deletionMs !== undefined);
  return isMissing && nowMs >= provideAtMs - RESYNC_MS + MISSING_MS;
}

const AWAITED_MS = 10_000;

/** What was written may have been deleted before the watch told of it. */
export function forgetOldAwaited(progress: GatewayProgress, nowMs: number): void {
  if (progress.awaited !== undefined && nowMs - progress.awaitedMs > AWAITED_MS) progress.awaited = undefined;
}

export function viewOf(
  progress: GatewayProgress,
  facts: BindingFacts | undefined,
  waits: GatewayView["waits"],
  generations: GatewayView["generations"],
): GatewayView {
  const { readyWaypoints, waypointsBehind, destinationsBehind, sourcesMissing, published } =
    facts ?? NO_FACTS_YET;
  return {
    generations,
    obstacle: progress.obstacle ?? progress.provision.failure ?? progress.steps.failure,
    restored: progress.restored,
    addresses: progress.addresses,
    readyPods: readyWaypoints,
    behind: waypointsBehind,
    destinationsBehind,
    sourcesMissing,
    published,
    waits,
  };
}

/** Something is on its way. */
export function isUnsettled(
  keys: readonly string[],
  facts: BindingFacts,
  waits: GatewayView["waits"],
): boolean {
  if (!facts.published || facts.readyWaypoints === 0) return true;
  if (keys.some((key) => waits.get(key)?.reason !== "Done")) return true;
  return keys.length > 0 && facts.waypointsBehind.length + facts.destinationsBehind.length > 0;
}
