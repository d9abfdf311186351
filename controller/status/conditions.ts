/** Pure. What the status of a policy says: whether ztunnel enforces it, and every field that has no effect. */
import { jsonList, jsonNumber, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { MeshPolicy } from "../translate/mesh-policy.ts";
import type { PeerAuthentication } from "../translate/peer-authentication.ts";
import { GUARDED } from "../translate/guarded.ts";
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
const MAX_NAMES = 5;

/** What waypoints make of a policy. */
export interface WaypointPart {
  /** Why a policy with targets is attached to nothing. */
  readonly targetGap: string | undefined;
  /** Automatic waypoints that are to judge requests by it. */
  readonly judges: readonly string[];
  /** Whether they do, everywhere. */
  readonly enforced: boolean;
}

export function authorizationCondition(policy: MeshPolicy, waypoints: WaypointPart): Condition {
  const { targetGap } = waypoints;
  const { problems, generation: observedGeneration, attachment, authorization } = policy;
  if (attachment === "waypoint") {
    const type = "WaypointAccepted";
    if (policy.request === undefined)
      return reported({ type, status: "False", reason: reasonOf(problems), observedGeneration }, problems);
    if (targetGap !== undefined)
      return { type, status: "False", reason: "TargetNotFound", message: targetGap, observedGeneration };
    const message = "its targets exist; condition Enforced says whether a waypoint judges by it";
    return { type, status: "True", reason: "Accepted", message, observedGeneration };
  }
  if (waypoints.judges.length > 0 && authorization !== undefined) return besideWaypoint(policy, waypoints);
  if (problems.length === 0) return accepted(observedGeneration);
  const status = authorization === undefined ? "False" : "True";
  const reason = reasonOf(problems);
  return reported({ type: "ZtunnelAccepted", status, reason, observedGeneration }, problems);
}

/** What ztunnels cannot see is no loss here: the waypoint sees it. */
function besideWaypoint(policy: MeshPolicy, { judges, enforced }: WaypointPart): Condition {
  const { problems, l7Fields, generation: observedGeneration } = policy;
  const names = judges.slice(0, MAX_NAMES).join(", ");
  const message = enforced
    ? `requests are judged by waypoint ${names}; ztunnels apply its L4 form on ports that count as TCP alone`
    : `not applied by ztunnels before waypoint ${names} judges requests, see Enforced`;
  const rest = problems.filter(({ path }) => !l7Fields.includes(path));
  const texts = [message, ...rest.map((problem) => `${problem.path} ${problem.message}`)];
  const reason = rest.length > 0 ? reasonOf(rest) : enforced ? "Accepted" : "WaitingForWaypoint";
  return {
    type: "ZtunnelAccepted",
    status: enforced ? "True" : "False",
    reason,
    message: texts.join("; ").slice(0, MAX_MESSAGE),
    observedGeneration,
  };
}

/** A ztunnel could not use the policy, and goes on with what it had before: worse than any field without effect. */
export function refusedCondition(observedGeneration: number, reason: string): Condition {
  const message = `a ztunnel refused the policy and goes on with the version before it: ${reason}`;
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

/** Types that this field manager writes: one that is no longer wanted is taken back. */
const OWN_TYPES: ReadonlySet<string> = new Set([
  "ZtunnelAccepted",
  "WaypointAccepted",
  "Enforced",
  GUARDED,
  "Accepted",
  "Programmed",
  "ResolvedRefs",
  "istio.io/WaypointBound",
]);

/**
 * `status.conditions` to apply, or undefined when the object already says the same (times aside).
 * `lastTransitionTime` changes only with the status.
 */
export function conditionsToApply(
  current: readonly unknown[],
  wanted: readonly Condition[],
  nowMs: number,
): readonly object[] | undefined {
  const old = new Map(jsonList(current).map((raw) => [jsonText(jsonObject(raw)["type"]), jsonObject(raw)]));
  const stale = [...old.keys()].some((type) => OWN_TYPES.has(type) && !wanted.some((c) => c.type === type));
  if (!stale && wanted.every((condition) => saysTheSame(old.get(condition.type), condition)))
    return undefined;
  const now = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  return wanted.map((condition) => {
    const before = old.get(condition.type);
    const since = before?.["status"] === condition.status ? jsonText(before["lastTransitionTime"]) : "";
    return { ...condition, lastTransitionTime: since || now };
  });
}

function saysTheSame(old: Readonly<Record<string, unknown>> | undefined, wanted: Condition): boolean {
  return (
    old !== undefined &&
    old["status"] === wanted.status &&
    old["reason"] === wanted.reason &&
    old["message"] === wanted.message &&
    // Objects without generations have 0, which is not stored.
    (jsonNumber(old["observedGeneration"]) ?? 0) === wanted.observedGeneration
  );
}
