/**
 * Step I5 with its bounded wait: a connection to a workload whose policies have not all arrived is held, then refused.
 * Returns the watch by which the registry judges the connection later.
 */
import type { ConnectionFacts } from "#core/model/connection.ts";
import type { Workload } from "#core/model/workload.ts";
import { authorize, type Verdict } from "./authorize.ts";
import { awaitState } from "#core/state/await-state.ts";
import type { PolicyWatch } from "./connection-registry.ts";
import { findLocalWorkload } from "./local-workload.ts";
import type { PodContext } from "./proxy-deps.ts";

export type SettledVerdict = Exclude<Verdict, { readonly kind: "hold" }>;

/** How `destination`'s policies judge the connection, with whatever the state says when asked. */
export function policyWatch(
  destination: PodContext,
  workload: Workload,
  facts: ConnectionFacts,
): PolicyWatch {
  const { state, options } = destination.deps;
  const current = (): Workload => findLocalWorkload(state, destination.pod, options.node) ?? workload;
  return { workload: workload.uid, verdict: () => authorize(state, current(), facts) };
}

export async function settleVerdict(
  destination: PodContext,
  watch: PolicyWatch,
  signal: AbortSignal,
): Promise<SettledVerdict> {
  const { state, options } = destination.deps;
  const first = watch.verdict();
  if (first.kind !== "hold") return first;
  const settled = await awaitState(state, { ms: options.policyHoldMs, signal }, () => {
    const verdict = watch.verdict();
    return verdict.kind === "hold" ? undefined : verdict;
  });
  return settled ?? { kind: "deny", reason: "policy-missing", trace: first.trace };
}
