/**
 * Pure. Condition `Guarded` of a policy: which pods refuse callers because of it already, whatever `Enforced` says. It is for people, and for the
 * next controller: where neither the waypoint's record nor its own memory says why those pods are closed, it closes them all the same.
 */
import { jsonList, jsonNumber, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";

export const GUARDED = "Guarded";

export type Guard =
  | { readonly kind: "none" }
  /** By an older version of the policy, wherever that applies. */
  | { readonly kind: "everywhere" }
  /** Nobody passes but through the waypoints of these namespaces. */
  | { readonly kind: "namespaces"; readonly names: readonly string[] };

export interface GuardedCondition {
  readonly type: typeof GUARDED;
  readonly status: "True";
  readonly reason: "FormerVersion" | "OnlyThroughWaypoint";
  readonly message: string;
  readonly observedGeneration: number;
}

const FORMER = "ztunnels go on with the version before this one until a waypoint judges by it";
const THROUGH = "pods are reached through their waypoint alone in ";
/** What is not listed counts as everywhere. */
const MAX_NAMES = 200;

export function guardedCondition(guard: Guard, observedGeneration: number): GuardedCondition | undefined {
  const head = { type: GUARDED, status: "True", observedGeneration } as const;
  if (guard.kind === "everywhere") return { ...head, reason: "FormerVersion", message: FORMER };
  if (guard.kind === "none" || guard.names.length === 0) return undefined;
  const listed = guard.names.toSorted().slice(0, MAX_NAMES).join(", ");
  const more = guard.names.length > MAX_NAMES ? ` and ${guard.names.length - MAX_NAMES} more` : "";
  return { ...head, reason: "OnlyThroughWaypoint", message: `${THROUGH}${listed}${more}` };
}

/** What the status of the policy tells, as it was found. */
export function guardOf({ conditions, metadata }: Pick<CustomObject, "conditions" | "metadata">): Guard {
  const met = jsonList(conditions)
    .map(jsonObject)
    .filter(({ status }) => status === "True");
  const condition = met.find(({ type }) => type === GUARDED);
  if (condition !== undefined) return readGuard(jsonText(condition["message"]));
  // An older version was one for ztunnels, and they had it when this one came.
  const wasTheirs = met.some(
    ({ type, observedGeneration }) =>
      type === "ZtunnelAccepted" && (jsonNumber(observedGeneration) ?? 0) < metadata.generation,
  );
  return { kind: wasTheirs ? "everywhere" : "none" };
}

/** Whatever cannot be read closes the more. */
function readGuard(message: string): Guard {
  const names = message.startsWith(THROUGH) ? message.slice(THROUGH.length).split(", ") : [];
  const areNames = names.length > 0 && names.every((name) => /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name));
  return areNames ? { kind: "namespaces", names } : { kind: "everywhere" };
}

export function guards(guard: Guard, namespace: string): boolean {
  return guard.kind === "everywhere" || (guard.kind === "namespaces" && guard.names.includes(namespace));
}
