/** Pure. Why no ALLOW rule matched: the rule that failed in the fewest places, and where. Runs for denials only. */
import type { Authorization, AuthorizationClause } from "../model/authorization.ts";
import { policyKey } from "../model/ids.ts";
import type { MatchDimension, NearestMiss } from "./decision.ts";
import { failedDimensions, isEmptyMatch, type MatchSubject, matchHolds } from "./match-connection.ts";

/** A denial must stay cheap, however many policies there are. */
const MAX_RULES_LOOKED_AT = 256;

export function nearestMiss(
  allows: readonly Authorization[],
  subject: MatchSubject,
): NearestMiss | undefined {
  let best: NearestMiss | undefined;
  let looked = 0;
  for (const policy of allows) {
    for (const [rule, { clauses }] of policy.rules.entries()) {
      if (looked++ >= MAX_RULES_LOOKED_AT) return best;
      const failed = [...new Set(clauses.flatMap((clause) => failuresOf(clause, subject)))];
      if (best === undefined || failed.length < best.failed.length)
        best = { policy: policyKey(policy.namespace, policy.name), rule, failed };
    }
  }
  return best;
}

/** What is wrong in the clause's closest match; nothing when the clause holds. */
function failuresOf(clause: AuthorizationClause, subject: MatchSubject): readonly MatchDimension[] {
  if (clause.matches.some((match) => matchHolds(match, subject))) return [];
  return clause.matches
    .filter((match) => !isEmptyMatch(match))
    .map((match) => failedDimensions(match, subject))
    .reduce<readonly MatchDimension[]>(
      (best, failed) => (best.length === 0 || failed.length < best.length ? failed : best),
      [],
    );
}
