/** Pure. An AuthorizationPolicy in both of its forms: for ztunnels, and for waypoints. */
import { connectionForm } from "#core/authz/request/connection-form.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import { onlyObserves, type RequestPolicy } from "#core/model/request-policy.ts";
import { enforceTiming } from "./enforce-timing.ts";
import { type Guard, guardOf } from "./guarded.ts";
import { translateAuthorizationPolicy, type TranslatedPolicy } from "./authorization-policy.ts";
import { l7Fields } from "./l7-fields.ts";
import type { MeshConfig } from "./mesh-config.ts";
import type { PolicyNote } from "./path-notes.ts";
import { type PolicyTarget, policyTargets } from "./policy-targets.ts";
import type { TranslationProblem } from "./problem.ts";
import { type RequestOnlyRule, requestOnlyRules } from "./request-only-rules.ts";
import { Report } from "./policy-report.ts";
import { translateRequestPolicy } from "./request-policy.ts";

export interface MeshPolicy extends TranslatedPolicy {
  /** Undefined when nothing of it is in force. */
  readonly request: RequestPolicy | undefined;
  /** What of it no waypoint enforces. */
  readonly requestProblems: readonly TranslationProblem[];
  readonly notes: readonly PolicyNote[];
  /** Paths of what a waypoint enforces and ztunnels cannot; empty for an L4 policy. */
  readonly l7Fields: readonly string[];
  readonly targets: readonly PolicyTarget[];
  /** Rules that do not concern connections that are not HTTP. */
  readonly requestOnlyRules: readonly RequestOnlyRule[];
  /** It denies by HTTP alone, whoever calls: HTTP is refused on ports that count as TCP too. */
  readonly deniesHttp: boolean;
  /** Callers are held while a waypoint is on its way. */
  readonly immediately: boolean;
  /** Where its status says that pods refuse callers because of it. */
  readonly guard: Guard;
}

/** Whether it says what only a waypoint can judge; also when nothing of it is in force. */
export function isForWaypoints({
  l7Fields: fields,
  targets,
}: Pick<MeshPolicy, "l7Fields" | "targets">): boolean {
  return fields.length + targets.length > 0;
}

/** Whether waypoints refuse callers by it: neither a dry run nor AUDIT. */
export function isDecidedByWaypoints(policy: MeshPolicy): boolean {
  return policy.request !== undefined && !onlyObserves(policy.request) && isForWaypoints(policy);
}

export function translateMeshPolicy(policy: CustomObject, mesh: MeshConfig): MeshPolicy {
  const l4 = translateAuthorizationPolicy(policy, mesh);
  const { policy: request, problems, notes } = translateRequestPolicy(policy, mesh);
  const targets = policyTargets(policy.spec);
  const fields = l7Fields(policy).flatMap(({ path, enforced }) => (enforced ? [path] : []));
  const needs = request === undefined ? [] : fields;
  // Where a waypoint will judge requests, the L4 form follows it pod by pod: no scope can say that.
  const authorization =
    l4.authorization !== undefined && needs.length > 0
      ? { ...l4.authorization, scope: "workload-selector" as const }
      : l4.authorization;
  const { immediately, problem } = enforceTiming(policy.metadata.annotations);
  const report = new Report("AuthorizationPolicy", policy);
  if (problem !== undefined) report.unsupported(problem.path, problem.message);
  return {
    ...l4,
    problems: [...l4.problems, ...report.problems],
    authorization,
    request,
    requestProblems: [...problems, ...report.problems],
    notes,
    l7Fields: needs,
    targets,
    requestOnlyRules: requestOnlyRules(policy, request),
    deniesHttp: deniesHttp(request, targets),
    immediately,
    guard: guardOf(policy),
  };
}

function deniesHttp(request: RequestPolicy | undefined, targets: readonly PolicyTarget[]): boolean {
  if (request === undefined || onlyObserves(request) || targets.length > 0) return false;
  return connectionForm(request).httpOnlyDeny !== undefined;
}
