/** Pure. How many pods each ReplicaSet of a Deployment should have next. */

export interface SetState {
  readonly name: string;
  /** spec.replicas */
  readonly wanted: number;
  readonly available: number;
  /** Pods that exist, terminating ones left out. */
  readonly pods: number;
}

export interface RolloutState {
  readonly desired: number;
  readonly maxSurge: number;
  readonly maxUnavailable: number;
  readonly recreate: boolean;
  readonly paused: boolean;
  readonly current: SetState;
  readonly old: readonly SetState[];
}

/** New `spec.replicas` by name, only where it changes. Applied again and again it ends with all pods in the current set. */
export function planRollout(state: RolloutState): ReadonlyMap<string, number> {
  const { desired, current, old } = state;
  const plan = new Map<string, number>();
  if (state.paused && old.some((set) => set.wanted > 0)) return plan;
  if (state.recreate) {
    for (const set of old) if (set.wanted > 0) plan.set(set.name, 0);
    if (old.every((set) => set.pods === 0) && current.wanted !== desired) plan.set(current.name, desired);
    return plan;
  }
  const total = current.wanted + old.reduce((sum, set) => sum + set.wanted, 0);
  if (current.wanted > desired) plan.set(current.name, desired);
  else if (current.wanted < desired) {
    const room = Math.max(0, desired + state.maxSurge - total);
    const next = current.wanted + Math.min(room, desired - current.wanted);
    if (next !== current.wanted) plan.set(current.name, next);
  }
  shrinkOld(state, total, plan);
  return plan;
}

/** Unhealthy pods of old sets go first; healthy ones only while enough others are available. */
function shrinkOld(state: RolloutState, total: number, plan: Map<string, number>): void {
  const minAvailable = state.desired - state.maxUnavailable;
  const currentUnavailable = Math.max(0, state.current.wanted - state.current.available);
  let removable = total - minAvailable - currentUnavailable;
  const left = new Map(state.old.map((set) => [set.name, set.wanted]));
  for (const set of state.old) {
    const unhealthy = Math.min(Math.max(0, removable), Math.max(0, set.wanted - set.available));
    left.set(set.name, set.wanted - unhealthy);
    removable -= unhealthy;
  }
  const available =
    state.current.available +
    state.old.reduce((sum, set) => sum + Math.min(set.available, left.get(set.name) ?? 0), 0);
  let spare = Math.min(available - minAvailable, removable);
  for (const set of state.old) {
    const now = left.get(set.name) ?? 0;
    const gone = Math.min(Math.max(0, spare), now);
    left.set(set.name, now - gone);
    spare -= gone;
  }
  for (const set of state.old)
    if (left.get(set.name) !== set.wanted) plan.set(set.name, left.get(set.name) ?? 0);
}
