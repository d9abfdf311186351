/** Pure. What a DaemonSet does on each node next. */

export interface NodeState {
  readonly node: string;
  /** Pods of the present template, and of earlier ones. */
  readonly fresh: number;
  readonly stale: number;
  readonly freshAvailable: boolean;
  readonly staleAvailable: boolean;
  /** A pod there is still ending. */
  readonly leaving: boolean;
}

export interface DaemonLimits {
  /** False leaves stale pods to whoever deletes them (OnDelete). */
  readonly rolling: boolean;
  readonly maxSurge: number;
  readonly maxUnavailable: number;
}

export type NodeStep = "create" | "remove-stale";

/** With surge a fresh pod comes up beside the stale one, which goes when the fresh one is available; without it goes first. */
export function planDaemons(
  states: readonly NodeState[],
  limits: DaemonLimits,
): ReadonlyMap<string, NodeStep> {
  const plan = new Map<string, NodeStep>();
  let surges = states.filter((state) => state.fresh > 0 && state.stale > 0).length;
  let unavailable = states.filter((state) => !state.freshAvailable && !state.staleAvailable).length;
  for (const state of states) {
    const step = nextStep(state, limits, { surges, unavailable });
    if (step === undefined) continue;
    plan.set(state.node, step);
    if (step === "create" && state.stale > 0) surges += 1;
    if (step === "remove-stale" && state.staleAvailable && !state.freshAvailable) unavailable += 1;
  }
  return plan;
}

interface InProgress {
  readonly surges: number;
  readonly unavailable: number;
}

function nextStep(state: NodeState, limits: DaemonLimits, now: InProgress): NodeStep | undefined {
  if (state.fresh + state.stale === 0) return state.leaving && limits.maxSurge === 0 ? undefined : "create";
  if (state.stale === 0 || !limits.rolling) return undefined;
  if (state.freshAvailable) return "remove-stale";
  if (state.fresh > 0) return undefined;
  if (limits.maxSurge > 0) return now.surges < limits.maxSurge ? "create" : undefined;
  return !state.staleAvailable || now.unavailable < limits.maxUnavailable ? "remove-stale" : undefined;
}
