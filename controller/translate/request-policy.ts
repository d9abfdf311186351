/** Pure. AuthorizationPolicy to what waypoints judge requests by, everything of it that they cannot, and what people should know about it. */
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import { type PolicyKey, policyKey } from "#core/model/ids.ts";
import type { RequestPolicy, RequestRule } from "#core/model/request-policy.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { type PolicyNote, pathNotes } from "./path-notes.ts";
import { isDryRun, policyInForce } from "./policy-in-force.ts";
import { Report } from "./policy-report.ts";
import type { TranslationProblem } from "./problem.ts";
import { translateRequestRule } from "./request-rule.ts";

const ACTIONS: ReadonlyMap<unknown, RequestPolicy["action"]> = new Map([
  ["DENY", "deny"],
  ["AUDIT", "audit"],
]);

export interface TranslatedRequestPolicy {
  readonly key: PolicyKey;
  /** Undefined when nothing of it is in force: it must not be bound. */
  readonly policy: RequestPolicy | undefined;
  /** Of the rules; what is wrong around them is told by `translateAuthorizationPolicy`. */
  readonly problems: readonly TranslationProblem[];
  /** In force as written, and yet perhaps not what was meant. */
  readonly notes: readonly PolicyNote[];
}

export function translateRequestPolicy(policy: CustomObject, mesh: MeshConfig): TranslatedRequestPolicy {
  const report = new Report("AuthorizationPolicy", policy);
  const { namespace, name } = policy.metadata;
  const key = policyKey(namespace, name);
  if (!policyInForce(policy, mesh, { report, enforcer: "a waypoint" }))
    return { key, policy: undefined, problems: report.problems, notes: [] };
  const spec = jsonObject(policy.spec);
  const action = ACTIONS.get(spec["action"]) ?? "allow";
  const context = { action, namespace, report } as const;
  const rules: RequestRule[] = [];
  for (const [index, raw] of jsonList(spec["rules"]).entries()) {
    const rule = translateRequestRule(raw, `spec.rules[${index}]`, context);
    if (rule !== undefined) rules.push(index === rules.length ? rule : { index, ...rule });
  }
  return {
    key,
    policy: { key, action, dryRun: isDryRun(policy), rules },
    problems: report.problems,
    notes: pathNotes(policy, mesh.pathNormalization),
  };
}
