/** Pure. HOT PATH. Step W3: what policy says of a request, or of a connection that is not HTTP; the same now and whenever the policies change. */
import type { Decision, NotedMatch } from "#core/authz/decision.ts";
import { evaluateRequest, observeRequest } from "#core/authz/request/evaluate-request.ts";
import type { RequestPolicySet } from "#core/authz/request/policy-sets.ts";
import type { RequestFacts } from "#core/authz/request/request-facts.ts";
import type { Reason } from "../http/reasons.ts";

/** The decision that counted so far: the first refusal, else the last rule that allowed. */
export interface Judgement {
  decision: Decision | undefined;
  /** Of policies that decide nothing: those that match. */
  noted: readonly NotedMatch[];
}

export function notJudged(): Judgement {
  return { decision: undefined, noted: NOTHING };
}

const NOTHING: readonly NotedMatch[] = [];

/** Undefined: allowed. Adds to `judgement` what is to be told about it. */
export function judge(
  judgement: Judgement,
  policies: RequestPolicySet,
  facts: RequestFacts,
): Reason | undefined {
  const decision = evaluateRequest(policies, facts);
  const noted = observeRequest(policies, facts);
  if (noted.length > 0) judgement.noted = [...judgement.noted, ...noted];
  const saysLess = decision.reason === "no-allow-policies" && judgement.decision !== undefined;
  if (!saysLess) judgement.decision = decision;
  return decision.kind === "allow" ? undefined : denialReason(decision);
}

export function denialReason(decision: Extract<Decision, { readonly kind: "deny" }>): Reason {
  return decision.reason === "matched-deny" ? "denied-by-policy" : decision.reason;
}
