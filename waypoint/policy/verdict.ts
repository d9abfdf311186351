/** Pure. HOT PATH. Step W3: what policy says of a request, or of a connection that is not HTTP; the same now and whenever the policies change. */
import type { Decision, DryRunMatch } from "#core/authz/decision.ts";
import { evaluateRequest, evaluateRequestDryRun } from "#core/authz/request/evaluate-request.ts";
import type { RequestPolicySet } from "#core/authz/request/policy-sets.ts";
import type { RequestFacts } from "#core/authz/request/request-facts.ts";
import type { Reason } from "../http/reasons.ts";

/** The decision that counted so far: the first refusal, else the last rule that allowed. */
export interface Judgement {
  decision: Decision | undefined;
  /** What dry-run policies would have done; undefined: there are none. */
  dryRun: readonly DryRunMatch[] | undefined;
}

/** Undefined: allowed. Adds to `judgement` what is to be told about it. */
export function judge(
  judgement: Judgement,
  policies: RequestPolicySet,
  facts: RequestFacts,
): Reason | undefined {
  const decision = evaluateRequest(policies, facts);
  if (hasDryRun(policies, facts)) {
    judgement.dryRun = [...(judgement.dryRun ?? []), ...evaluateRequestDryRun(policies, facts)];
  }
  const saysLess = decision.reason === "no-allow-policies" && judgement.decision !== undefined;
  if (!saysLess) judgement.decision = decision;
  return decision.kind === "allow" ? undefined : denialReason(decision);
}

export function denialReason(decision: Extract<Decision, { readonly kind: "deny" }>): Reason {
  return decision.reason === "matched-deny" ? "denied-by-policy" : decision.reason;
}

function hasDryRun(policies: RequestPolicySet, facts: RequestFacts): boolean {
  if (policies.kind === "missing") return false;
  const { dryRun } = facts.http === undefined ? policies.connections : policies.requests;
  return dryRun.length > 0;
}
