/**
 * Pure. A waypoint's record one step on: every binding by itself, in the order of `binding-machine.ts`; but one that refuses callers at
 * destinations stays until what replaces it does: a changed selector must not open the pods that both select.
 */
import { type Binding, bindingKey, pushesOf, scopeKey, type WantedBinding } from "./binding.ts";
import {
  type Asked,
  type BindingFacts,
  type BindingTimes,
  type Step,
  stepBinding,
} from "./binding-machine.ts";
import { recordHasRoom } from "../gateway/waypoint-record.ts";

export interface StepResult {
  readonly bindings: readonly Binding[];
  /** Whether it differs from before, and must be written. */
  readonly changed: boolean;
  /** What each binding that stays waits for, by `bindingKey`. */
  readonly waits: ReadonlyMap<string, Extract<Step, { readonly kind: "stay" }>>;
}

export interface StepInput {
  readonly bindings: readonly Binding[];
  readonly wanted: readonly WantedBinding[];
  /** Wanted no more, but what follows is not in force yet: kept where callers are sent through the waypoint, never begun. */
  readonly held?: readonly WantedBinding[];
  readonly facts: BindingFacts;
  readonly nowMs: number;
  readonly times: BindingTimes;
}

export function nextBindings({ bindings, wanted, held = [], facts, nowMs, times }: StepInput): StepResult {
  const wishes = new Map(wanted.map((wish) => [bindingKey(wish), wish]));
  const heldBack = new Map(held.map((wish) => [bindingKey(wish), wish]));
  const stages = new Map(bindings.map((binding) => [bindingKey(binding), binding.stage]));
  const unfinished = wanted.filter(
    (wish) => wish.observes !== true && stages.get(bindingKey(wish)) !== "enforced",
  );
  const waits = new Map<string, Extract<Step, { readonly kind: "stay" }>>();
  const kept = bindings.flatMap((binding): readonly Binding[] => {
    const key = bindingKey(binding);
    const wish = wishes.get(key) ?? (pushesOf(binding.stage).binds ? heldBack.get(key) : undefined);
    const asked = isReplaced(binding, unfinished) ? "gradually" : "nothing";
    const step = observing(
      wish,
      stepBinding(binding, askedOf(binding, wish) ?? asked, facts, { nowMs, times }),
    );
    // Another field may be the reason now: the same pods, the same order.
    const field = wish?.field ?? binding.field;
    if (step.kind === "gone") return [];
    if (step.kind === "go") return [{ ...binding, field, stage: step.stage, sinceMs: nowMs }];
    waits.set(key, step);
    return [field === binding.field ? binding : { ...binding, field }];
  });
  const next = [...kept];
  for (const wish of wanted) {
    if (stages.has(bindingKey(wish)) || !recordHasRoom(next, wish)) continue;
    const { policy, field, scope, immediately } = wish;
    next.push({ policy, field, scope, stage: immediately === true ? "denying" : "starting", sinceMs: nowMs });
  }
  const changed = next.length !== bindings.length || next.some((binding, i) => binding !== bindings[i]);
  return { bindings: next, changed, waits };
}

/** A dry run refuses nobody: what has become one goes back to where nobody is refused. */
function askedOf({ stage }: Binding, wish: WantedBinding | undefined): Asked | undefined {
  if (wish === undefined || (wish.observes === true && pushesOf(stage).denies)) return undefined;
  return wish.immediately === true ? "immediately" : "gradually";
}

/** It has arrived when requests pass the waypoint. */
function observing(wish: WantedBinding | undefined, step: Step): Step {
  const goesTooFar = wish?.observes === true && step.kind === "go" && step.stage === "denying";
  return goesTooFar ? { kind: "stay", reason: "Done", waitsFor: [] } : step;
}

/** Another binding for the same policy or the same pods is wanted, and does not refuse callers yet. */
function isReplaced(binding: Binding, unfinished: readonly WantedBinding[]): boolean {
  if (!pushesOf(binding.stage).denies) return false;
  const pods = scopeKey(binding.scope);
  return unfinished.some(({ policy, scope }) => policy === binding.policy || scopeKey(scope) === pods);
}
