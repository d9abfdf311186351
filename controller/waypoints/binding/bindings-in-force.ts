/**
 * Pure. The bindings of a namespace as every replica pushes them: those on its Gateway, and those that must not open because that record is
 * lost, gone, or older than what is in force. No replica waits for the leader to write down what is closed already.
 */
import type { PolicyKey } from "#core/model/ids.ts";
import { type Binding, pushesOf, type WantedBinding } from "./binding.ts";
import { type Guard, guards } from "../../translate/guarded.ts";

export interface PolicyInForce {
  readonly key: PolicyKey;
  readonly guard: Guard;
  /** This process knows the version before, and pushes that meanwhile. */
  readonly hasFormerForm: boolean;
}

export interface RecordInForce {
  readonly namespace: string;
  readonly bindings: readonly Binding[];
  /** There is a Gateway, and nobody knows what it stood for. */
  readonly isLost: boolean;
}

/** Whether pods must be closed for the policy although the record does not say so. */
export function mustClose({ key, guard, hasFormerForm }: PolicyInForce, record: RecordInForce): boolean {
  if (record.isLost) return true;
  if (hasFormerForm || !guards(guard, record.namespace)) return false;
  return !record.bindings.some(({ policy, stage }) => policy === key && pushesOf(stage).denies);
}

/** `wanted`: by the policies that must close their pods. */
export function bindingsInForce(
  { bindings }: RecordInForce,
  wanted: readonly WantedBinding[],
): readonly Binding[] {
  const closed = wanted.flatMap(({ policy, field, scope, observes }): readonly Binding[] =>
    observes === true ? [] : [{ policy, field, scope, stage: "denying", sinceMs: 0 }],
  );
  return [...bindings, ...closed];
}
