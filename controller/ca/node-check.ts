/**
 * Pure. May this caller have a certificate of that identity? A node gets the identities that run on it, no other; a pod gets
 * its own only if it is a waypoint that the controller made.
 */
import { decideEnrolment, type EnrolmentOptions } from "#core/authz/enrolment.ts";
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { parseSpiffeId, type SpiffeId, spiffeId, spiffeParts } from "#core/model/spiffe-id.ts";
import { ANNOTATION_MIRROR_POD } from "#core/model/well-known.ts";
import type { WaypointPods } from "../waypoints/gateway/waypoint-pods.ts";
import { type Caller, TERMINATION_GRACE_MS } from "./caller-identity.ts";

export interface NodeCheckPolicy {
  readonly trustDomain: string;
  /** `namespace/account` of those who may ask for others: ztunnels. */
  readonly trustedNodeAccounts: readonly string[];
  /** `namespace/account` that nobody may ask for: the mesh's own. */
  readonly reservedAccounts: readonly string[];
  readonly enrolment: EnrolmentOptions;
}

export interface NodeCheckFacts {
  /** Pods of a node that run under `namespace/account`. */
  podsOn(node: string, account: string): readonly PodObject[];
  namespace(name: string): NamespaceObject | undefined;
  pod(namespace: string, name: string): PodObject | undefined;
}

/** What a check reads, at one moment. */
export interface NodeCheckNow extends NodeCheckFacts {
  readonly waypoints: WaypointPods;
  readonly nowMs: number;
}

export type IdentityVerdict =
  | { readonly kind: "granted"; readonly identity: SpiffeId; readonly account: string }
  /** Nothing known speaks for it, and nothing that time could not change speaks against it. */
  | { readonly kind: "early"; readonly account: string; readonly why: string }
  | { readonly kind: "refused"; readonly why: string };

const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** `requested` is metadata ImpersonatedIdentity; undefined asks for the caller's own. */
export function checkIdentity(
  caller: Caller,
  requested: string | undefined,
  policy: NodeCheckPolicy,
  facts: NodeCheckNow,
): IdentityVerdict {
  if (requested === undefined) return checkOwnIdentity(caller, policy, facts);
  const callerAccount = `${caller.namespace}/${caller.serviceAccount}`;
  if (!policy.trustedNodeAccounts.includes(callerAccount)) {
    return refused(`${callerAccount} may not ask for other identities`);
  }
  const identity = parseSpiffeId(requested);
  if (!identity.ok) return refused("the requested identity is malformed");
  const { trustDomain, namespace, serviceAccount } = spiffeParts(identity.value);
  if (trustDomain !== policy.trustDomain) return refused(`trust domain ${trustDomain} is not ours`);
  if (!DNS_LABEL.test(namespace) || !DNS_SUBDOMAIN.test(serviceAccount)) {
    return refused("the requested identity names no possible account");
  }
  const account = `${namespace}/${serviceAccount}`;
  if (policy.reservedAccounts.includes(account))
    return refused(`${account} is an account of the mesh itself`);
  // Whoever speaks for a waypoint is believed by its destinations: no pod that only runs as its account is.
  if (facts.waypoints.isWaypointAccount(namespace, serviceAccount)) {
    return refused(`${account} is an account of a waypoint, which asks for itself`);
  }
  const on = `on ${caller.nodeName}`;
  const pods = facts.podsOn(caller.nodeName, account);
  if (pods.length === 0)
    return { kind: "early", account, why: `no pod has been seen ${on} that runs as ${account}` };
  const standings = pods.map((pod) => standingOf(pod, policy, facts));
  if (standings.includes("eligible")) return { kind: "granted", identity: identity.value, account };
  return standings.includes("not-labelled")
    ? {
        kind: "early",
        account,
        why: `no pod ${on} that runs as ${account} has been seen with a label for the mesh`,
      }
    : refused(`no eligible pod ${on} runs as ${account}`);
}

/** A waypoint that is on its way out has the certificate that it needs to finish. */
function checkOwnIdentity(
  caller: Caller,
  { trustDomain }: NodeCheckPolicy,
  { pod: podOf, waypoints }: NodeCheckNow,
): IdentityVerdict {
  const { namespace, serviceAccount, podName, podUid } = caller;
  const account = `${namespace}/${serviceAccount}`;
  const pod = podOf(namespace, podName);
  if (pod === undefined || pod.metadata.uid !== podUid) return refused("the caller's pod is gone");
  if (pod.serviceAccount !== serviceAccount) return refused("the pod runs under another account");
  if (pod.metadata.deletionMs !== undefined) return refused("the pod is being deleted");
  const standing = waypoints.standingOf(pod);
  switch (standing.kind) {
    case "waypoint":
      return {
        kind: "granted",
        identity: spiffeId({ trustDomain, namespace, serviceAccount }),
        account,
      };
    case "not-seen":
      return { kind: "early", account, why: standing.why };
    case "foreign":
      return refused(
        `pods get no certificate of their own identity, and this is no waypoint: ${standing.why}`,
      );
  }
}

/** Labels come and go while a pod lives; what else keeps it out does not. */
type PodStanding = "eligible" | "not-labelled" | "ineligible";

function standingOf(
  pod: PodObject,
  policy: NodeCheckPolicy,
  facts: NodeCheckFacts & { readonly nowMs: number },
): PodStanding {
  const { namespace, labels, annotations, deletionMs } = pod.metadata;
  if (Object.hasOwn(annotations, ANNOTATION_MIRROR_POD) || pod.hostNetwork) return "ineligible";
  if (deletionMs !== undefined && facts.nowMs > deletionMs + TERMINATION_GRACE_MS) return "ineligible";
  const its = facts.namespace(namespace);
  const decision = decideEnrolment(
    {
      namespace,
      labels,
      annotations,
      hostNetwork: pod.hostNetwork,
      phase: pod.phase,
      serviceAccount: pod.serviceAccount,
    },
    its === undefined ? undefined : { name: its.metadata.name, labels: its.metadata.labels },
    policy.enrolment,
  );
  if (decision.kind === "enrol") return "eligible";
  return decision.reason === "not-selected" || decision.reason === "opted-out"
    ? "not-labelled"
    : "ineligible";
}

function refused(why: string): IdentityVerdict {
  return { kind: "refused", why };
}
