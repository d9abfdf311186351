/**
 * Pure. Does a policy restrict who may reach a pod? The node agent ends connections that are older than the pod's
 * enrolment as soon as one does, since such connections carry no identity that could be judged.
 */

type StringMap = Readonly<Record<string, string>>;

export type MtlsMode = "UNSET" | "DISABLE" | "PERMISSIVE" | "STRICT";

interface PolicyFacts {
  readonly namespace: string;
  readonly name: string;
  /** matchLabels; undefined without a selector. An empty selector selects everything of its reach. */
  readonly selector: StringMap | undefined;
  /** metadata.creationTimestamp; the oldest wins among equals. */
  readonly createdMs: number;
}

export interface AuthorizationPolicyFacts extends PolicyFacts {
  readonly kind: "AuthorizationPolicy";
  readonly action: "ALLOW" | "DENY" | "AUDIT" | "CUSTOM";
  readonly ruleCount: number;
  /** targetRef or targetRefs is present: a waypoint's policy, not ztunnel's. */
  readonly hasTargets: boolean;
  /** Annotation `istio.io/dry-run: "true"`. */
  readonly dryRun: boolean;
}

export interface PeerAuthenticationFacts extends PolicyFacts {
  readonly kind: "PeerAuthentication";
  readonly mode: MtlsMode;
  readonly portModes: ReadonlyMap<number, MtlsMode>;
}

export type CoveringPolicy = AuthorizationPolicyFacts | PeerAuthenticationFacts;

export interface CoveredPod {
  readonly namespace: string;
  readonly labels: StringMap;
}

export interface CoverOptions {
  readonly rootNamespace: string;
}

/** Whether this policy alone restricts the pod. For what several PeerAuthentications mean together: `coveredBy`. */
export function covers(policy: CoveringPolicy, pod: CoveredPod, options: CoverOptions): boolean {
  if (policy.kind === "PeerAuthentication") return coveredBy([policy], pod, options) !== undefined;
  return restrictsAtL4(policy) && reaches(policy, pod, options) && selects(policy.selector, pod.labels);
}

/** The first policy in force that restricts the pod, PeerAuthentication precedence resolved; undefined if none. */
export function coveredBy(
  policies: readonly CoveringPolicy[],
  pod: CoveredPod,
  options: CoverOptions,
): CoveringPolicy | undefined {
  const authorization = policies.find(
    (policy) => policy.kind === "AuthorizationPolicy" && covers(policy, pod, options),
  );
  if (authorization !== undefined) return authorization;
  const peers = policies.filter((policy) => policy.kind === "PeerAuthentication");
  return strictBy(peers, pod, options);
}

/** A DENY without rules refuses nobody; an ALLOW without rules refuses everybody. */
function restrictsAtL4(policy: AuthorizationPolicyFacts): boolean {
  if (policy.hasTargets || policy.dryRun) return false;
  return policy.action === "ALLOW" || (policy.action === "DENY" && policy.ruleCount > 0);
}

/** Policies of the root namespace reach every namespace. */
function reaches(policy: PolicyFacts, pod: CoveredPod, options: CoverOptions): boolean {
  return policy.namespace === pod.namespace || policy.namespace === options.rootNamespace;
}

/** Every label of the selector, with exactly that value. */
function selects(selector: StringMap | undefined, labels: StringMap): boolean {
  return Object.entries(selector ?? {}).every(
    ([key, value]) => Object.hasOwn(labels, key) && labels[key] === value,
  );
}

/**
 * The PeerAuthentication by which the pod, or one of its ports, demands mTLS. Mesh, then namespace, then workload
 * level; UNSET inherits; the oldest wins at each level; selectors in the root namespace count for its own pods only.
 */
function strictBy(
  policies: readonly PeerAuthenticationFacts[],
  pod: CoveredPod,
  options: CoverOptions,
): PeerAuthenticationFacts | undefined {
  const unselective = policies.filter((policy) => isEmptySelector(policy.selector));
  const mesh = oldest(unselective.filter((p) => p.namespace === options.rootNamespace));
  const own = oldest(unselective.filter((p) => p.namespace === pod.namespace));
  const workload = oldest(
    policies.filter(
      (p) => !isEmptySelector(p.selector) && p.namespace === pod.namespace && selects(p.selector, pod.labels),
    ),
  );
  const deciding = [workload, own, mesh].find((policy) => policy !== undefined && policy.mode !== "UNSET");
  if (deciding?.mode === "STRICT") return deciding;
  const strictPort = [...(workload?.portModes.values() ?? [])].includes("STRICT");
  return strictPort ? workload : undefined;
}

function isEmptySelector(selector: StringMap | undefined): boolean {
  return selector === undefined || Object.keys(selector).length === 0;
}

function oldest(policies: readonly PeerAuthenticationFacts[]): PeerAuthenticationFacts | undefined {
  return policies.toSorted((a, b) => a.createdMs - b.createdMs || (a.name < b.name ? -1 : 1))[0];
}
