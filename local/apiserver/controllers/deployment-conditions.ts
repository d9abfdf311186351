/** Pure. The conditions `Available` and `Progressing` that `kubectl rollout status` and `kubectl wait` read. */
import type { V1DeploymentCondition } from "@kubernetes/client-node";
import { type JsonMap, timestamp } from "../object.ts";

export interface ConditionFacts {
  readonly reason: string;
  readonly now: number;
  /** Counts as news although status and reason stay. */
  readonly moved: boolean;
}

const MESSAGES: Readonly<Record<string, string>> = {
  MinimumReplicasAvailable: "Deployment has minimum availability.",
  MinimumReplicasUnavailable: "Deployment does not have minimum availability.",
};

export function condition(
  before: readonly V1DeploymentCondition[] | undefined,
  type: string,
  status: string,
  facts: ConditionFacts,
): JsonMap {
  const last = before?.find((known) => known.type === type);
  const time = timestamp(facts.now);
  const same = last?.status === status && last.reason === facts.reason && !facts.moved;
  return {
    type,
    status,
    reason: facts.reason,
    message: MESSAGES[facts.reason] ?? facts.reason,
    lastUpdateTime: same ? last.lastUpdateTime : time,
    lastTransitionTime: last?.status === status ? last.lastTransitionTime : time,
  };
}

export interface Progress {
  readonly name: string;
  readonly complete: boolean;
  readonly moved: boolean;
  readonly now: number;
  readonly deadlineMs: number;
}

export function progressing(
  before: readonly V1DeploymentCondition[] | undefined,
  { name, complete, moved, now, deadlineMs }: Progress,
): JsonMap {
  const last = before?.find((known) => known.type === "Progressing");
  const overdue =
    !complete &&
    !moved &&
    last !== undefined &&
    last.reason !== "NewReplicaSetAvailable" &&
    now - Date.parse(String(last.lastUpdateTime)) > deadlineMs;
  const reason = complete
    ? "NewReplicaSetAvailable"
    : overdue
      ? "ProgressDeadlineExceeded"
      : "ReplicaSetUpdated";
  const verb = complete
    ? "has successfully progressed"
    : overdue
      ? "has timed out progressing"
      : "is progressing";
  return {
    ...condition(before, "Progressing", overdue ? "False" : "True", {
      reason,
      now,
      moved: moved && !complete,
    }),
    message: `ReplicaSet "${name}" ${verb}.`,
  };
}
