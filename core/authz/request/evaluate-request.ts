/**
 * Pure. HOT PATH. Authorization of one request, or of one connection that is not HTTP: any matching DENY refuses; without ALLOW policies
 * everything else is allowed; with them, one must match. Dry runs and AUDIT decide nothing.
 */
import type { Decision, NotedMatch } from "../decision.ts";
import type { CompiledEntry, CompiledGroup, CompiledPolicy, CompiledRule } from "./compile-policy.ts";
import { nearestRequestMiss } from "./nearest-miss.ts";
import type { OrderedPolicies, RequestPolicySet } from "./policy-sets.ts";
import type { RequestFacts } from "./request-facts.ts";

const NO_ALLOW_POLICIES: Decision = { kind: "allow", reason: "no-allow-policies" };
const NO_MATCHES: readonly NotedMatch[] = [];

/** By the connection form of the policies if `request.http` is undefined. */
export function evaluateRequest(set: RequestPolicySet, request: RequestFacts): Decision {
  if (set.kind === "missing") return { kind: "deny", reason: "policy-missing", missing: set.names };
  const { deny, allow } = policiesFor(set, request);
  for (const policy of deny) {
    const rule = matchingRule(policy, request);
    if (rule >= 0) return { kind: "deny", reason: "matched-deny", policy: policy.key, rule };
  }
  if (allow.length === 0) return NO_ALLOW_POLICIES;
  for (const policy of allow) {
    const rule = matchingRule(policy, request);
    if (rule >= 0) return { kind: "allow", reason: "matched-allow", policy: policy.key, rule };
  }
  return { kind: "deny", reason: "no-allow-matched", nearest: nearestRequestMiss(allow, request) };
}

/** Which of the policies that decide nothing match; for logs only. */
export function observeRequest(set: RequestPolicySet, request: RequestFacts): readonly NotedMatch[] {
  if (set.kind === "missing") return NO_MATCHES;
  const { observing } = policiesFor(set, request);
  if (observing.length === 0) return NO_MATCHES;
  return observing.flatMap((policy) => {
    const { key, action, dryRun } = policy;
    const rule = matchingRule(policy, request);
    return rule < 0 ? [] : [{ policy: key, rule, action, dryRun }];
  });
}

/** A connection that was judged as one and turns out to be HTTP, on a port where HTTP is not declared: DENY rules of HTTP alone refuse it. */
export function evaluateUndeclaredHttp(set: RequestPolicySet): Decision | undefined {
  if (set.kind === "missing") return { kind: "deny", reason: "policy-missing", missing: set.names };
  if (set.httpOnlyDeny === undefined) return undefined;
  return { kind: "deny", reason: "matched-deny", ...set.httpOnlyDeny };
}

function policiesFor(
  set: Extract<RequestPolicySet, { kind: "known" }>,
  request: RequestFacts,
): OrderedPolicies {
  return request.http === undefined ? set.connections : set.requests;
}

/** Index of the first rule that matches, or -1: a policy without rules never matches. */
function matchingRule(policy: CompiledPolicy, request: RequestFacts): number {
  for (const rule of policy.rules) if (ruleHolds(rule, request)) return rule.index;
  return -1;
}

function ruleHolds(rule: CompiledRule, request: RequestFacts): boolean {
  if (!entryHolds(rule.conditions, request)) return false;
  for (const group of rule.choices) if (!groupHolds(group, request)) return false;
  return true;
}

function groupHolds(group: CompiledGroup, request: RequestFacts): boolean {
  for (const entry of group) if (entryHolds(entry, request)) return true;
  return false;
}

function entryHolds(entry: CompiledEntry, request: RequestFacts): boolean {
  for (const condition of entry) if (!condition.holds(request)) return false;
  return true;
}
