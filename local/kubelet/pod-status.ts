/** Pure. What the kubelet knows about a pod, as the API's PodStatus. */
import type { ContainerSpec, ContainerStatus, PodCondition, PodObject, PodStatus } from "./pod-types.ts";
import { qosClass } from "./resources.ts";

export interface PodFactsForStatus {
  readonly pod: PodObject;
  readonly nodeIps: readonly string[];
  readonly podIps: readonly string[];
  readonly startTime: string;
  /** Sandbox with network stands. */
  readonly sandboxReady: boolean;
  readonly initStatuses: readonly ContainerStatus[];
  /** Init containers that stay (restartPolicy Always). */
  readonly sidecars: ReadonlySet<string>;
  readonly statuses: readonly ContainerStatus[];
  /** The pod ends: nothing will be started again. */
  readonly finished: boolean;
}

/** `now` stamps conditions that change; others keep the time they had in `pod.status`. */
export function podStatus(facts: PodFactsForStatus, now: string): PodStatus {
  const { pod, initStatuses, statuses, sidecars } = facts;
  const initialized = initStatuses.every((s) =>
    sidecars.has(s.name) ? s.started : s.state.terminated?.exitCode === 0,
  );
  const relevant = [...initStatuses.filter((s) => sidecars.has(s.name)), ...statuses];
  const ready = initialized && !facts.finished && relevant.every((s) => s.ready) && statuses.length > 0;
  const phase = phaseOf(facts, initialized);
  const notReady = relevant.filter((s) => !s.ready).map((s) => s.name);
  const why = phase === "Succeeded" ? "PodCompleted" : "ContainersNotReady";
  const unready = { reason: why, message: `containers with unready status: [${notReady.join(" ")}]` };
  const conditions: readonly PodCondition[] = [
    condition("PodReadyToStartContainers", facts.sandboxReady),
    condition("Initialized", initialized, { reason: "ContainersNotInitialized" }),
    condition("Ready", ready, unready),
    condition("ContainersReady", ready, unready),
    condition("PodScheduled", true),
  ];
  return {
    phase,
    ...(facts.nodeIps[0] === undefined ? {} : { hostIP: facts.nodeIps[0] }),
    hostIPs: facts.nodeIps.map((ip) => ({ ip })),
    ...(facts.podIps[0] === undefined ? {} : { podIP: facts.podIps[0] }),
    podIPs: facts.podIps.map((ip) => ({ ip })),
    startTime: facts.startTime,
    qosClass: qosClass(pod.spec),
    conditions: withTimes(conditions, pod.status?.conditions ?? [], now),
    ...(initStatuses.length === 0 ? {} : { initContainerStatuses: initStatuses }),
    containerStatuses: statuses,
  };
}

function phaseOf({ statuses, finished }: PodFactsForStatus, initialized: boolean): string {
  const ended = statuses.length > 0 && statuses.every((s) => s.state.terminated !== undefined);
  if (finished && ended)
    return statuses.every((s) => s.state.terminated?.exitCode === 0) ? "Succeeded" : "Failed";
  if (finished) return "Failed";
  const everRan = statuses.some(
    (s) => s.state.running !== undefined || s.state.terminated !== undefined || s.restartCount > 0,
  );
  return initialized && everRan ? "Running" : "Pending";
}

function condition(
  type: string,
  isTrue: boolean,
  otherwise: { readonly reason?: string; readonly message?: string } = {},
): PodCondition {
  return isTrue ? { type, status: "True" } : { type, status: "False", ...otherwise };
}

function withTimes(
  conditions: readonly PodCondition[],
  old: readonly PodCondition[],
  now: string,
): readonly PodCondition[] {
  return conditions.map((next) => {
    const before = old.find((c) => c.type === next.type && c.status === next.status);
    return { ...next, lastTransitionTime: before?.lastTransitionTime ?? now };
  });
}

/** Of a container whose turn has not come. */
export function waitingStatus({ name, image }: ContainerSpec, reason: string): ContainerStatus {
  const state = { waiting: { reason } };
  return { name, image, imageID: "", ready: false, started: false, restartCount: 0, state, lastState: {} };
}
