/**
 * Pure. Of several PeerAuthentications for the same workloads the oldest rules alone. The others would be ignored
 * without a word; this says so. Selectors that merely overlap are not compared: which pods both select changes with
 * the pods, and for the others the younger policy is in force.
 */
import { oldest, type PeerAuthentication } from "./peer-authentication.ts";

/** `siblings`: all of its namespace, itself included. */
export function underItsElders(
  policy: PeerAuthentication,
  siblings: readonly PeerAuthentication[],
): PeerAuthentication {
  const reach = reachOf(policy);
  const ruling = oldest(siblings.filter((other) => reachOf(other) === reach));
  if (!policy.inForce || ruling === undefined || ruling.name === policy.name) return policy;
  const { namespace, name, generation } = policy;
  const problem = {
    kind: "PeerAuthentication",
    namespace,
    name,
    generation,
    path: "spec",
    reason: "UnsupportedValue",
    message: `has no effect: ${ruling.name} is older and covers the same workloads`,
  } as const;
  return { ...policy, inForce: false, problems: [...policy.problems, problem] };
}

function reachOf({ selector }: PeerAuthentication): string {
  return JSON.stringify(Object.entries(selector ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
