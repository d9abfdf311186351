/** Pure. Why no ALLOW rule matched a request: the rule that failed in the fewest places, and where. Runs for denials only. */
import type { MatchDimension, NearestMiss } from "../decision.ts";
import type { CompiledGroup, CompiledPolicy } from "./compile-policy.ts";
import type { RequestFacts } from "./request-facts.ts";

/** A denial must stay cheap, however many policies there are. */
const MAX_RULES_LOOKED_AT = 256;

export function nearestRequestMiss(
  allows: readonly CompiledPolicy[],
  request: RequestFacts,
): NearestMiss | undefined {
  let best: NearestMiss | undefined;
  let looked = 0;
  for (const policy of allows) {
    for (const { index, groups } of policy.rules) {
      if (looked++ >= MAX_RULES_LOOKED_AT) return best;
      const failed = [...new Set(groups.flatMap((group) => failuresOf(group, request)))];
      if (best === undefined || failed.length < best.failed.length)
        best = { policy: policy.key, rule: index, failed };
    }
  }
  return best;
}

/** What is wrong in the group's closest entry; nothing when the group holds. */
function failuresOf(group: CompiledGroup, request: RequestFacts): readonly MatchDimension[] {
  let best: readonly MatchDimension[] | undefined;
  for (const entry of group) {
    const failed = entry
      .filter((condition) => !condition.holds(request))
      .map((condition) => condition.dimension);
    if (best === undefined || failed.length < best.length) best = failed;
  }
  return best ?? [];
}
