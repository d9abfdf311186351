/** Pure. AuthorizationPolicy to the L4 policy that ztunnels enforce, and everything of it that they do not. */
import { jsonList, jsonObject, jsonTextRecord } from "#core/k8s/json-read.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import type { Authorization, AuthorizationScope } from "#core/model/authorization.ts";
import { type PolicyKey, policyKey } from "#core/model/ids.ts";
import { translateRule } from "./authorization-rule.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { isDryRun, policyInForce } from "./policy-in-force.ts";
import { Report } from "./policy-report.ts";
import type { TranslationProblem } from "./problem.ts";

export interface TranslatedPolicy {
  readonly key: PolicyKey;
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  /** What ztunnels get; undefined when the policy is not theirs or cannot be enforced at all. */
  readonly authorization: Authorization | undefined;
  /** Labels of the selected pods; undefined when the policy is not selector-scoped. */
  readonly selector: Readonly<Record<string, string>> | undefined;
  /** Who enforces it: ztunnel, or a waypoint because it targets one. */
  readonly attachment: "ztunnel" | "waypoint";
  readonly problems: readonly TranslationProblem[];
}

const SPEC_FIELDS: ReadonlySet<string> = new Set([
  "selector",
  "targetRef",
  "targetRefs",
  "rules",
  "action",
  "provider",
]);

export function translateAuthorizationPolicy(policy: CustomObject, mesh: MeshConfig): TranslatedPolicy {
  const report = new Report("AuthorizationPolicy", policy);
  const spec = jsonObject(policy.spec);
  const { namespace, name, generation } = policy.metadata;
  const head = { key: policyKey(namespace, name), namespace, name, generation };
  report.unknownFields(spec, SPEC_FIELDS, "spec");
  if (spec["targetRef"] !== undefined || jsonList(spec["targetRefs"]).length > 0) {
    return {
      ...head,
      authorization: undefined,
      selector: undefined,
      attachment: "waypoint",
      problems: report.problems,
    };
  }
  const selector = selectorOf(spec, report);
  const authorization = policyInForce(policy, mesh, { report, enforcer: "ztunnel" })
    ? toAuthorization(policy, scopeOf(selector, namespace, mesh), report)
    : undefined;
  return { ...head, authorization, selector, attachment: "ztunnel", problems: report.problems };
}

/** A selector without labels selects every pod of its reach, by name. */
function selectorOf(spec: Readonly<Record<string, unknown>>, report: Report): TranslatedPolicy["selector"] {
  if (spec["selector"] === undefined || spec["selector"] === null) return undefined;
  const selector = jsonObject(spec["selector"]);
  report.unknownFields(selector, new Set(["matchLabels"]), "spec.selector");
  return jsonTextRecord(selector["matchLabels"]);
}

function scopeOf(
  selector: TranslatedPolicy["selector"],
  namespace: string,
  mesh: MeshConfig,
): AuthorizationScope {
  if (selector !== undefined) return "workload-selector";
  return namespace === mesh.rootNamespace ? "global" : "namespace";
}

function toAuthorization(policy: CustomObject, scope: AuthorizationScope, report: Report): Authorization {
  const spec = jsonObject(policy.spec);
  const { namespace, name } = policy.metadata;
  const action = spec["action"] === "DENY" ? "deny" : "allow";
  const input = { action, namespace, report } as const;
  return {
    name,
    namespace,
    scope,
    action,
    rules: jsonList(spec["rules"]).flatMap((rule, i) => translateRule(rule, `spec.rules[${i}]`, input) ?? []),
    dryRun: isDryRun(policy),
  };
}
