/**
 * Pure. Step I5: may this connection reach this workload? The same function for tunnels, plaintext and same-node
 * connections, now and whenever policy or workload change. A policy that is named but not there yet means "hold".
 */
import type { Decision } from "#core/authz/decision.ts";
import { evaluateDryRun, evaluateSet } from "#core/authz/evaluate.ts";
import { explainDecision } from "#core/authz/explain.ts";
import { policiesFor } from "#core/authz/policies-for.ts";
import type { ConnectionFacts } from "#core/model/connection.ts";
import type { PolicyKey } from "#core/model/ids.ts";
import { type SpiffeId, spiffeParts } from "#core/model/spiffe-id.ts";
import { AUTOMATIC_WAYPOINT, isOnlyThroughWaypoint } from "#core/model/waypoint.ts";
import type { Workload } from "#core/model/workload.ts";
import type { MeshView } from "#core/state/mesh-state.ts";
import type { Reason } from "./response-flag.ts";

/** What the access log says about a verdict. */
export interface PolicyTrace {
  /** The policy that decided. */
  readonly policy: PolicyKey | undefined;
  readonly rule: number | undefined;
  /** The ALLOW rule that came closest: `namespace/name rule 0: principals`. */
  readonly nearest: string | undefined;
  /** What dry-run policies would have done: `namespace/name:deny`. */
  readonly dryRun: string | undefined;
  /** One sentence for an operator. */
  readonly explanation: string;
}

export type Verdict =
  | { readonly kind: "allow"; readonly trace: PolicyTrace }
  | { readonly kind: "deny"; readonly reason: Reason; readonly trace: PolicyTrace }
  /** Wait for these policies (bounded), then treat as "deny". */
  | { readonly kind: "hold"; readonly names: readonly PolicyKey[]; readonly trace: PolicyTrace };

export function authorize(view: MeshView, workload: Workload, facts: ConnectionFacts): Verdict {
  if (isForeignWaypoint(facts.sourceIdentity, workload)) return FOREIGN_WAYPOINT;
  const set = policiesFor(workload, view.policies);
  const decision = evaluateSet(set, facts);
  const dryRuns = set.kind === "known" ? evaluateDryRun(set.policies, facts) : [];
  const dryRun = dryRuns.map(({ policy, action }) => `${policy}:${action}`).join(",");
  return verdictOf(decision, dryRun === "" ? undefined : dryRun);
}

/**
 * An automatic waypoint has callers for its own namespace alone, and policies of the whole mesh spare it: whoever could speak as the one of
 * another namespace would pass them here.
 */
function isForeignWaypoint(peer: SpiffeId | undefined, { namespace }: Workload): boolean {
  if (peer === undefined || !peer.endsWith(`/${AUTOMATIC_WAYPOINT}`)) return false;
  return spiffeParts(peer).namespace !== namespace;
}

function verdictOf(decision: Decision, dryRun: string | undefined): Verdict {
  const trace = { ...NO_TRACE, dryRun, explanation: explainDecision(decision) };
  switch (decision.reason) {
    case "no-allow-policies":
      return { kind: "allow", trace };
    case "matched-allow":
      return { kind: "allow", trace: { ...trace, policy: decision.policy, rule: decision.rule } };
    case "matched-deny":
      return deniedBy(decision, trace);
    case "no-allow-matched":
      return {
        kind: "deny",
        reason: "no-allow-matched",
        trace: { ...trace, nearest: nearestText(decision) },
      };
    case "policy-missing":
      return { kind: "hold", names: decision.missing, trace: { ...trace, policy: decision.missing[0] } };
  }
}

function deniedBy(
  { policy, rule }: Extract<Decision, { readonly reason: "matched-deny" }>,
  trace: PolicyTrace,
): Verdict {
  const decided = { ...trace, policy, rule };
  if (!isOnlyThroughWaypoint(policy.slice(policy.indexOf("/") + 1))) {
    return { kind: "deny", reason: "denied-by-policy", trace: decided };
  }
  const explanation =
    "NotThroughWaypoint: an HTTP policy rules this port, which therefore takes nothing but what the waypoint has judged";
  return { kind: "deny", reason: "not-through-waypoint", trace: { ...decided, explanation } };
}

const NO_TRACE = { policy: undefined, rule: undefined, nearest: undefined };

const FOREIGN_WAYPOINT: Verdict = {
  kind: "deny",
  reason: "foreign-waypoint",
  trace: {
    ...NO_TRACE,
    dryRun: undefined,
    explanation:
      "the waypoint of another namespace has no business here: automatic waypoints serve their own",
  },
};

function nearestText({
  nearest,
}: Extract<Decision, { readonly reason: "no-allow-matched" }>): string | undefined {
  return nearest === undefined
    ? undefined
    : `${nearest.policy} rule ${nearest.rule}: ${nearest.failed.join(" ")}`;
}
