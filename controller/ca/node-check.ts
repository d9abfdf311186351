/** Pure. May this caller have a certificate of that identity? A node gets the identities that run on it, no other. */
import { decideEnrolment, type EnrolmentOptions } from "#core/authz/enrolment.ts";
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { parseSpiffeId, type SpiffeId, spiffeParts } from "#core/model/spiffe-id.ts";
import { ANNOTATION_MIRROR_POD } from "#core/model/well-known.ts";
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
}

export type IdentityVerdict =
  | { readonly kind: "granted"; readonly identity: SpiffeId }
  | { readonly kind: "refused"; readonly why: string };

const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** `requested` is metadata ImpersonatedIdentity; undefined asks for the caller's own. */
export function checkIdentity(
  caller: Caller,
  requested: string | undefined,
  policy: NodeCheckPolicy,
  facts: NodeCheckFacts & { readonly nowMs: number },
): IdentityVerdict {
  // Own identities go to waypoint and gateway pods that the controller made; it makes none yet.
  if (requested === undefined) return refused("pods get no certificate of their own identity");
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
  const pods = facts.podsOn(caller.nodeName, account);
  const eligible = pods.some((pod) => mayBeServed(pod, policy, facts));
  return eligible
    ? { kind: "granted", identity: identity.value }
    : refused(`no eligible pod on ${caller.nodeName} runs as ${account}`);
}

function mayBeServed(
  pod: PodObject,
  policy: NodeCheckPolicy,
  facts: NodeCheckFacts & { readonly nowMs: number },
): boolean {
  const { namespace, labels, annotations, deletionMs } = pod.metadata;
  if (Object.hasOwn(annotations, ANNOTATION_MIRROR_POD) || pod.hostNetwork) return false;
  if (deletionMs !== undefined && facts.nowMs > deletionMs + TERMINATION_GRACE_MS) return false;
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
  return decision.kind === "enrol";
}

function refused(why: string): IdentityVerdict {
  return { kind: "refused", why };
}
