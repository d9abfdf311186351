/** Pure. A decision as one sentence and as flat fields of an access log line. */
import type { ConnectionFacts } from "../model/connection.ts";
import { formatSocketAddress } from "../net/socket-address.ts";
import { unreachable } from "../base/invariant.ts";
import type { Decision, MatchDimension } from "./decision.ts";

const WORDS: Readonly<Record<MatchDimension, string>> = {
  namespaces: "source namespace",
  principals: "source principal",
  "service-accounts": "source service account",
  "source-ips": "source address",
  "destination-ips": "destination address",
  "destination-ports": "destination port",
  hosts: "host",
  methods: "method",
  paths: "path",
  headers: "header",
};

/** `denied by shop/no-intruders (rule 0)`; names are `namespace/name` of the policy. */
export function explainDecision(decision: Decision): string {
  switch (decision.reason) {
    case "no-allow-policies":
      return "allowed: no ALLOW policy applies and no DENY policy matches";
    case "matched-allow":
      return `allowed by ${decision.policy} (rule ${decision.rule})`;
    case "matched-deny":
      return `explicitly denied by: ${decision.policy} (rule ${decision.rule})`;
    case "no-allow-matched":
      return `allow policies exist, but none allowed${nearestText(decision)}`;
    case "policy-missing":
      return `refused until its policies arrive: ${decision.missing.join(", ")}`;
    default:
      return unreachable(decision);
  }
}

function nearestText(decision: Extract<Decision, { reason: "no-allow-matched" }>): string {
  const { nearest } = decision;
  if (nearest === undefined) return "; they have no rules";
  const what = nearest.failed.map((dimension) => WORDS[dimension]).join(" and ") || "nothing that can match";
  return `; nearest: ${nearest.policy} (rule ${nearest.rule}), which differs in ${what}`;
}

/** Fields of the access log: policy, rule and reason. */
export function decisionFields(decision: Decision): Readonly<Record<string, string | number>> {
  const { reason } = decision;
  if (reason === "matched-allow" || reason === "matched-deny")
    return { reason, policy: decision.policy, rule: decision.rule };
  if (reason === "policy-missing") return { reason, policy: decision.missing.join(",") };
  if (reason !== "no-allow-matched" || decision.nearest === undefined) return { reason };
  const { policy, rule, failed } = decision.nearest;
  return { reason, nearest_policy: policy, nearest_rule: rule, nearest_failed: failed.join(",") };
}

/** Who asks for what, for traces. */
export function describeConnection(connection: ConnectionFacts): string {
  const who = connection.sourceIdentity ?? "nobody known";
  return `${who} from ${formatSocketAddress(connection.source)} to ${formatSocketAddress(connection.destination)}`;
}
