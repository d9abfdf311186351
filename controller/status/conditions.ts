/** Pure. What the status of a policy says: whether ztunnel enforces it, and every field that has no effect. */
import { jsonList, jsonNumber, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { TranslatedPolicy } from "../translate/authorization-policy.ts";
import type { PeerAuthentication } from "../translate/peer-authentication.ts";
import type { TranslationProblem } from "../translate/problem.ts";

/** metav1.Condition without its time. */
export interface Condition {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

/** Limit of metav1.Condition. */
const MAX_MESSAGE = 32_768;

export function authorizationCondition(policy: TranslatedPolicy): Condition {
  const { problems, generation: observedGeneration, attachment, authorization } = policy;
  if (attachment === "waypoint") {
    const head = { type: "WaypointAccepted", status: "False", reason: "TargetNotFound" } as const;
    return reported({ ...head, observedGeneration }, problems);
  }
  if (problems.length === 0) return accepted(observedGeneration);
  const status = authorization === undefined ? "False" : "True";
  const reason = reasonOf(problems);
  return reported({ type: "ZtunnelAccepted", status, reason, observedGeneration }, problems);
}

/** A ztunnel could not use the policy, and goes on with what it had before: worse than any field without effect. */
export function refusedCondition(observedGeneration: number, reason: string): Condition {
  const message = `a ztunnel refused the policy: ${reason}`;
  return {
    type: "ZtunnelAccepted",
    status: "False",
    reason: "RefusedByZtunnel",
    message,
    observedGeneration,
  };
}

export function peerAuthenticationCondition(
  policy: PeerAuthentication,
  observedGeneration: number,
): Condition {
  const { problems, inForce } = policy;
  if (problems.length === 0) return accepted(observedGeneration);
  const reason = reasonOf(problems);
  const status = inForce ? "True" : "False";
  return reported({ type: "ZtunnelAccepted", status, reason, observedGeneration }, problems);
}

function accepted(generation: number): Condition {
  return {
    type: "ZtunnelAccepted",
    status: "True",
    reason: "Accepted",
    message: "attached to ztunnel",
    observedGeneration: generation,
  };
}

type Head = Pick<Condition, "type" | "status" | "reason" | "observedGeneration">;

function reported(head: Head, problems: readonly TranslationProblem[]): Condition {
  const message = problems.map((p) => `${p.path} ${p.message}`).join("; ");
  return { ...head, message: message.slice(0, MAX_MESSAGE) };
}

function reasonOf(problems: readonly TranslationProblem[]): string {
  return problems.some((p) => p.reason === "UnsupportedValue") ? "UnsupportedValue" : "Invalid";
}

/**
 * `status.conditions` to apply, or undefined when the object already says the same (times aside).
 * `lastTransitionTime` changes only with the status.
 */
export function conditionsToApply(
  current: readonly unknown[],
  wanted: Condition,
  nowMs: number,
): readonly object[] | undefined {
  const old = jsonList(current)
    .map(jsonObject)
    .find((c) => c["type"] === wanted.type);
  const same =
    old !== undefined &&
    old["status"] === wanted.status &&
    old["reason"] === wanted.reason &&
    old["message"] === wanted.message &&
    jsonNumber(old["observedGeneration"]) === wanted.observedGeneration;
  if (same) return undefined;
  const now = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  const since = old?.["status"] === wanted.status ? jsonText(old["lastTransitionTime"]) || now : now;
  return [{ ...wanted, lastTransitionTime: since }];
}
