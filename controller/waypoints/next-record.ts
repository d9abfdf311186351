/** Pure. A waypoint's record one step on: every binding by itself, in the order of `binding-machine.ts`. */
import { type Binding, bindingKey, type WantedBinding } from "./binding.ts";
import { type BindingFacts, type BindingTimes, type Step, stepBinding } from "./binding-machine.ts";

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
  readonly facts: BindingFacts;
  readonly nowMs: number;
  readonly times: BindingTimes;
}

export function nextBindings({ bindings, wanted, facts, nowMs, times }: StepInput): StepResult {
  const wishes = new Map(wanted.map((wish) => [bindingKey(wish), wish]));
  const known = new Set(bindings.map(bindingKey));
  const waits = new Map<string, Extract<Step, { readonly kind: "stay" }>>();
  const kept = bindings.flatMap((binding): readonly Binding[] => {
    const key = bindingKey(binding);
    const wish = wishes.get(key);
    const step = stepBinding(binding, wish !== undefined, facts, { nowMs, times });
    // Another field may be the reason now: the same pods, the same order.
    const field = wish?.field ?? binding.field;
    if (step.kind === "gone") return [];
    if (step.kind === "go") return [{ ...binding, field, stage: step.stage, sinceMs: nowMs }];
    waits.set(key, step);
    return [field === binding.field ? binding : { ...binding, field }];
  });
  const added = wanted
    .filter((wish) => !known.has(bindingKey(wish)))
    .map((wish): Binding => ({ ...wish, stage: "starting", sinceMs: nowMs }));
  const next = [...kept, ...added];
  const changed = next.length !== bindings.length || next.some((binding, i) => binding !== bindings[i]);
  return { bindings: next, changed, waits };
}
