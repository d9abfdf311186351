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
export function covers(_policy: CoveringPolicy, _pod: CoveredPod, _options: CoverOptions): boolean {
  throw new Error("not built yet");
}

/** The first policy in force that restricts the pod, PeerAuthentication precedence resolved; undefined if none. */
export function coveredBy(
  _policies: readonly CoveringPolicy[],
  _pod: CoveredPod,
  _options: CoverOptions,
): CoveringPolicy | undefined {
  throw new Error("not built yet");
}
