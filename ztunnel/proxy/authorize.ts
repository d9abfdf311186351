/**
 * Pure. Step I5: may this connection reach this workload? The same function for tunnels, plaintext and same-node
 * connections, now and whenever policy or workload change. A policy that is named but not there yet means "hold".
 */
import type { Decision } from "#core/authz/decision.ts";
import { evaluate } from "#core/authz/evaluate.ts";
import { policiesFor } from "#core/authz/policies-for.ts";
import type { ConnectionFacts } from "#core/model/connection.ts";
import type { PolicyKey } from "#core/model/ids.ts";
import type { Workload } from "#core/model/workload.ts";
import type { MeshView } from "../state/mesh-state.ts";
import type { Reason } from "./response-flag.ts";

/** What the access log says about a verdict. */
export interface PolicyTrace {
  readonly policy: PolicyKey | undefined;
  readonly rule: number | undefined;
  /** For an operator: which policy decided, or what came closest. */
  readonly explanation: string | undefined;
}

export type Verdict =
  | { readonly kind: "allow"; readonly trace: PolicyTrace }
  | { readonly kind: "deny"; readonly reason: Reason; readonly trace: PolicyTrace }
  /** Wait for these policies (bounded), then treat as "deny". */
  | { readonly kind: "hold"; readonly names: readonly PolicyKey[]; readonly trace: PolicyTrace };

export function authorize(view: MeshView, workload: Workload, facts: ConnectionFacts): Verdict {
  const set = policiesFor(workload, view.policies);
  if (set.kind === "missing") return { kind: "hold", names: set.names, trace: missingTrace(set.names) };
  return verdictOf(evaluate(set.policies, facts));
}

function verdictOf(decision: Decision): Verdict {
  if (decision.kind === "allow") {
    if (decision.reason === "no-allow-policies") return { kind: "allow", trace: NO_TRACE };
    return { kind: "allow", trace: { ...NO_TRACE, policy: decision.policy, rule: decision.rule } };
  }
  switch (decision.reason) {
    case "matched-deny": {
      const { policy, rule } = decision;
      const explanation = `explicitly denied by: ${policy} rule ${rule}`;
      return { kind: "deny", reason: "denied-by-policy", trace: { policy, rule, explanation } };
    }
    case "no-allow-matched": {
      const { nearest } = decision;
      const explanation =
        nearest === undefined
          ? "allow policies exist, but none allowed"
          : `allow policies exist, but none allowed; nearest: ${nearest.policy} rule ${nearest.rule} failed on ${nearest.failed.join(", ")}`;
      const trace = { policy: nearest?.policy, rule: nearest?.rule, explanation };
      return { kind: "deny", reason: "no-allow-matched", trace };
    }
    case "policy-missing":
      return { kind: "hold", names: decision.missing, trace: missingTrace(decision.missing) };
  }
}

const NO_TRACE: PolicyTrace = { policy: undefined, rule: undefined, explanation: undefined };

function missingTrace(names: readonly PolicyKey[]): PolicyTrace {
  return { policy: names[0], rule: undefined, explanation: `policy not received yet: ${names.join(", ")}` };
}
