/** Pure. Whether an AuthorizationPolicy decides anything at all: its action, and dry runs. */
import { jsonObject } from "#core/k8s/json-read.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import type { MeshConfig } from "./mesh-config.ts";
import type { Report } from "./policy-report.ts";

const DRY_RUN = "istio.io/dry-run";

type Enforcer = "ztunnel" | "a waypoint";

const ACTIONS: Readonly<Record<Enforcer, readonly unknown[]>> = {
  ztunnel: ["ALLOW", "DENY"],
  "a waypoint": ["ALLOW", "DENY", "AUDIT"],
};
const AUDIT_NOTE = '"AUDIT" is for waypoints: what does not pass one is not noted';

/** Reports why not, and a provider without use. */
export function policyInForce(
  policy: CustomObject,
  mesh: MeshConfig,
  { report, enforcer }: { readonly report: Report; readonly enforcer: Enforcer },
): boolean {
  const spec = jsonObject(policy.spec);
  const action = spec["action"] ?? "ALLOW";
  if (!ACTIONS[enforcer].includes(action)) {
    const note = `${JSON.stringify(action)} cannot be enforced by ${enforcer}; the policy is not in force`;
    report.unsupported("spec.action", action === "AUDIT" ? AUDIT_NOTE : note);
    return false;
  }
  if (spec["provider"] !== undefined)
    report.unsupported("spec.provider", "has no effect without action CUSTOM");
  if (isDryRun(policy) && !mesh.dryRunPolicies) {
    report.unsupported(
      `metadata.annotations ${DRY_RUN}`,
      "dry runs are switched off; the policy is not in force",
    );
    return false;
  }
  return true;
}

/** Go's ParseBool: other texts count as absent. */
export function isDryRun(policy: CustomObject): boolean {
  return ["1", "t", "T", "TRUE", "true", "True"].includes(policy.metadata.annotations[DRY_RUN] ?? "");
}
