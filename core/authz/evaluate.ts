/**
 * Pure. HOT PATH. L4 authorization of one connection, as Istio's ztunnel decides: any matching DENY refuses; without
 * ALLOW policies everything else is allowed; with them, one must match.
 */
import type { Authorization, AuthorizationClause, AuthorizationRule } from "../model/authorization.ts";
import type { ConnectionFacts } from "../model/connection.ts";
import { policyKey } from "../model/ids.ts";
import type { Decision, DryRunMatch } from "./decision.ts";
import { type MatchSubject, matchHolds, matchSubject } from "./match-connection.ts";
import { nearestMiss } from "./nearest-miss.ts";
import type { PolicySet } from "./policies-for.ts";

/** Policies in dry run are skipped here; see `evaluateDryRun`. */
export function evaluate(policies: readonly Authorization[], connection: ConnectionFacts): Decision {
  const subject = matchSubject(connection);
  const denied = firstMatch(policies, "deny", subject);
  if (denied !== undefined) return { kind: "deny", reason: "matched-deny", ...denied };
  const allowed = firstMatch(policies, "allow", subject);
  if (allowed !== undefined) return { kind: "allow", reason: "matched-allow", ...allowed };
  const allows = policies.filter((policy) => policy.action === "allow" && !policy.dryRun);
  if (allows.length === 0) return { kind: "allow", reason: "no-allow-policies" };
  return { kind: "deny", reason: "no-allow-matched", nearest: nearestMiss(allows, subject) };
}

/** The same for what `policiesFor` found: a named policy that is not there refuses. */
export function evaluateSet(set: PolicySet, connection: ConnectionFacts): Decision {
  return set.kind === "known"
    ? evaluate(set.policies, connection)
    : { kind: "deny", reason: "policy-missing", missing: set.names };
}

/** Which dry-run policies match; for logs only. */
export function evaluateDryRun(
  policies: readonly Authorization[],
  connection: ConnectionFacts,
): readonly DryRunMatch[] {
  const dry = policies.filter((policy) => policy.dryRun);
  if (dry.length === 0) return [];
  const subject = matchSubject(connection);
  return dry.flatMap((policy) => {
    const rule = matchingRule(policy, subject);
    return rule < 0
      ? []
      : [{ policy: policyKey(policy.namespace, policy.name), rule, action: policy.action }];
  });
}

function firstMatch(
  policies: readonly Authorization[],
  action: Authorization["action"],
  subject: MatchSubject,
): Pick<DryRunMatch, "policy" | "rule"> | undefined {
  for (const policy of policies) {
    if (policy.action !== action || policy.dryRun) continue;
    const rule = matchingRule(policy, subject);
    if (rule >= 0) return { policy: policyKey(policy.namespace, policy.name), rule };
  }
  return undefined;
}

/** Index of the first rule that matches, or -1: a policy without rules never matches. */
function matchingRule(policy: Authorization, subject: MatchSubject): number {
  return policy.rules.findIndex((rule) => ruleHolds(rule, subject));
}

/** A rule without clauses matches everything. */
function ruleHolds(rule: AuthorizationRule, subject: MatchSubject): boolean {
  return rule.clauses.every((clause) => clauseHolds(clause, subject));
}

/** A clause without matches holds; one whose matches are all empty does not. */
function clauseHolds(clause: AuthorizationClause, subject: MatchSubject): boolean {
  return clause.matches.length === 0 || clause.matches.some((match) => matchHolds(match, subject));
}
