/** What the reconciler remembers about one Gateway between two looks. Nothing of it is missed after a restart. */
import type { PodObject } from "#core/k8s/object-types.ts";
import { type Binding, bindingKey } from "./binding.ts";
import type { BindingFacts } from "./binding-machine.ts";
import { bindingFacts, type ConnectedProxy } from "./proxy-progress.ts";
import type { PublishedMark } from "../push/acknowledgements.ts";
import type { GatewayView } from "./waypoint-view.ts";
import type { WaypointGateway } from "./waypoint-gateway.ts";

export interface GatewayProgress {
  /** The record that was written and has not come back by the watch yet: no decision is made on an older one. */
  awaited: string | undefined;
  awaitedMs: number;
  /** What the marks below are about. */
  text: string;
  noted: number | undefined;
  mark: PublishedMark | undefined;
  provideAtMs: number;
  retryAtMs: number;
  failures: number;
  leaving: boolean;
  /** Somebody else's object of its name. */
  obstacle: string | undefined;
  /** What the API said last, while it does not do what is asked. */
  failure: string | undefined;
  /** What was wrong with a record that had to be made anew. */
  restored: string | undefined;
  deploymentUid: string;
  addresses: readonly string[];
}

export interface ProgressSource {
  /** Whether all inputs are there and the first state has been published. */
  isReady(): boolean;
  isTerminating(namespace: string): boolean;
  /** See `MeshGraph`. */
  noted(): number | undefined;
  isPublishedTo(noted: number): boolean;
  mark(): PublishedMark;
  proxies(gateway: WaypointGateway, mark: PublishedMark): readonly ConnectedProxy[];
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
    text: "",
    noted: undefined,
    mark: undefined,
    provideAtMs: 0,
    retryAtMs: 0,
    failures: 0,
    leaving: false,
    obstacle: undefined,
    failure: undefined,
    restored: undefined,
    deploymentUid: "",
    addresses: [],
  };
}

/** Facts about the moment from which on everything that follows from `text` was public. */
export function settle(
  progress: GatewayProgress,
  text: string,
  gateway: WaypointGateway,
  source: ProgressSource,
): Omit<BindingFacts, "watchedMs"> {
  if (progress.text !== text) {
    progress.text = text;
    progress.noted = undefined;
    progress.mark = undefined;
  }
  progress.noted ??= source.noted();
  if (progress.mark === undefined && progress.noted !== undefined && source.isPublishedTo(progress.noted))
    progress.mark = source.mark();
  const { mark } = progress;
  return bindingFacts({
    published: mark !== undefined,
    proxies: mark === undefined ? [] : source.proxies(gateway, mark),
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
  return {
    generations,
    obstacle: progress.obstacle ?? progress.failure,
    restored: progress.restored,
    addresses: progress.addresses,
    readyPods: facts?.readyWaypoints ?? 0,
    behind: facts?.waypointsBehind ?? [],
    destinationsBehind: facts?.destinationsBehind ?? [],
    published: facts?.published ?? false,
    waits,
  };
}

/** Something is on its way. */
export function isUnsettled(
  bindings: readonly Binding[],
  facts: BindingFacts,
  waits: GatewayView["waits"],
): boolean {
  if (!facts.published || facts.readyWaypoints === 0) return true;
  if (bindings.some((one) => waits.get(bindingKey(one))?.reason !== "Done")) return true;
  return bindings.length > 0 && facts.waypointsBehind.length + facts.destinationsBehind.length > 0;
}
