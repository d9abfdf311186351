/** Everything in the present state that has no effect, or not the one its author may expect. */
import type { MeshIndex } from "./mesh-index.ts";
import type { TranslationProblem } from "./translate/problem.ts";

/** Sorted, so that equal states give equal lists. */
export function allProblems(index: MeshIndex): readonly TranslationProblem[] {
  const { meshConfigs, authorizationPolicies, reportedPeers } = index.policies;
  const holders = [
    ...meshConfigs.values(),
    ...authorizationPolicies.values(),
    ...reportedPeers.values(),
    ...index.workloads.values(),
    ...index.services.values(),
    ...index.sliceWorkloads.values(),
    ...index.waypoints.gateways.values(),
  ];
  const problems = holders.flatMap((holder) => holder.problems);
  return problems.toSorted((a, b) => (orderKey(a) < orderKey(b) ? -1 : 1));
}

function orderKey(p: TranslationProblem): string {
  return [p.kind, p.namespace, p.name, p.path, p.message].join("\0");
}
