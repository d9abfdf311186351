/**
 * Who is calling on 15012, for xDS and CA alike: a token, and the pod it is bound to as it is NOW. A review alone
 * proves nothing about now: tokens of deleted pods authenticate for a while, those of ended pods until they expire.
 */
import type { Parsed } from "#core/base/parse-result.ts";
import type { NodeObject, PodObject, ServiceAccountObject } from "#core/k8s/object-types.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { RateLimit } from "./rate-limit.ts";
import { parseTokenShape } from "./jwt-shape.ts";
import type { ReviewedToken } from "./reviewed-token.ts";
import type { TokenReviews } from "./token-review.ts";

export interface Caller extends ReviewedToken {
  readonly expiresMs: number;
}

/** The cluster as the informers have it. */
export interface ClusterView {
  pod(namespace: string, name: string): PodObject | undefined;
  serviceAccount(namespace: string, name: string): ServiceAccountObject | undefined;
  node(name: string): NodeObject | undefined;
}

export type Authentication =
  | { readonly kind: "caller"; readonly caller: Caller }
  /** `why` is for the log; the caller learns only the code. */
  | {
      readonly kind: "refused";
      readonly code: "unauthenticated" | "unavailable" | "too-many";
      readonly why: string;
    };

export interface AuthenticatorDeps {
  readonly reviews: TokenReviews;
  readonly cluster: ClusterView;
  readonly audiences: readonly string[];
  readonly clusterIds: readonly string[];
  /** By source address, before anything is looked at. */
  readonly perSource: RateLimit;
  /** By caller pod, after authentication. */
  readonly perCaller: RateLimit;
  readonly nowMs: () => number;
}

export interface Credentials {
  /** TCP peer, `ip:port`. */
  readonly peer: string;
  readonly authorization: string;
  readonly clusterId: string;
}

/** Label of a quarantined node: its callers are refused. Kubelets cannot remove labels under this prefix. */
export const QUARANTINE_LABEL = "node-restriction.kubernetes.io/ambit-quarantine";
/** A terminating pod's token stays valid for this long at the API server. */
export const TERMINATION_GRACE_MS = 60_000;

export class Authenticator {
  readonly #deps: AuthenticatorDeps;

  constructor(deps: AuthenticatorDeps) {
    this.#deps = deps;
  }

  /** Cheapest refusal first. */
  async authenticate(credentials: Credentials): Promise<Authentication> {
    const source = credentials.peer.replace(/:\d+$/, "");
    if (!this.#deps.perSource.take(source)) return refused("too-many", `too many requests from ${source}`);
    const { clusterId } = credentials;
    if (clusterId !== "" && !this.#deps.clusterIds.includes(clusterId)) {
      return refused("unauthenticated", `cluster ${clusterId.slice(0, 64)} is unknown`);
    }
    const token = /^Bearer ([^\s]+)$/.exec(credentials.authorization)?.[1];
    if (token === undefined) return refused("unauthenticated", "there is no bearer token");
    try {
      return await this.#review(token);
    } catch (error) {
      if (error instanceof AmbitError && error.retryable) return refused("unavailable", error.message);
      throw error;
    }
  }

  async #review(token: string): Promise<Authentication> {
    const { audiences, reviews, cluster, perCaller, nowMs } = this.#deps;
    const shape = parseTokenShape(token, audiences, nowMs());
    if (!shape.ok) return refused("unauthenticated", textOf(shape));
    const review = await reviews.review(token, shape.value.expiresMs);
    if (!review.ok) return refused("unauthenticated", textOf(review));
    const caller = { ...review.value, expiresMs: shape.value.expiresMs };
    const alive = checkCallerPod(caller, cluster, nowMs());
    if (alive.kind === "refused") return alive;
    if (!perCaller.take(caller.podUid)) return refused("too-many", "too many requests from this pod");
    return { kind: "caller", caller };
  }

  /** Whether a caller that was authenticated earlier still stands: asked again for long-lived streams. */
  recheck(caller: Caller): Authentication {
    if (this.#deps.nowMs() >= caller.expiresMs) return refused("unauthenticated", "the token has expired");
    return checkCallerPod(caller, this.#deps.cluster, this.#deps.nowMs());
  }
}

/** Pure. The pod behind a token: the same uid, account and node as reviewed, alive, on a node in good standing. */
export function checkCallerPod(caller: Caller, cluster: ClusterView, nowMs: number): Authentication {
  const pod = cluster.pod(caller.namespace, caller.podName);
  const account = cluster.serviceAccount(caller.namespace, caller.serviceAccount);
  if (pod === undefined) return refused("unavailable", "the caller's pod has not been seen yet");
  if (account === undefined) return refused("unavailable", "the caller's account has not been seen yet");
  const wrong = callerProblem(caller, pod, account, cluster.node(caller.nodeName)) ?? ended(pod, nowMs);
  return wrong === undefined ? { kind: "caller", caller } : refused("unauthenticated", wrong);
}

function callerProblem(
  caller: Caller,
  pod: PodObject,
  account: ServiceAccountObject,
  node: NodeObject | undefined,
): string | undefined {
  if (pod.metadata.uid !== caller.podUid) return "the token is of an earlier pod of that name";
  if (pod.serviceAccount !== caller.serviceAccount) return "the pod runs under another account";
  if (pod.node !== caller.nodeName) return "the pod runs on another node";
  if (account.metadata.uid !== caller.accountUid) return "the token is of an earlier account of that name";
  const quarantined = node !== undefined && Object.hasOwn(node.metadata.labels, QUARANTINE_LABEL);
  return quarantined ? "the node is in quarantine" : undefined;
}

function ended(pod: PodObject, nowMs: number): string | undefined {
  if (pod.phase === "Succeeded" || pod.phase === "Failed") return "the pod has ended";
  const { deletionMs } = pod.metadata;
  return deletionMs !== undefined && nowMs > deletionMs + TERMINATION_GRACE_MS
    ? "the pod should have ended a minute ago"
    : undefined;
}

function refused(
  code: Extract<Authentication, { kind: "refused" }>["code"],
  why: string,
): Extract<Authentication, { kind: "refused" }> {
  return { kind: "refused", code, why };
}

function textOf(failed: Extract<Parsed<unknown>, { ok: false }>): string {
  const [first] = failed.problems;
  return `${first?.path ?? ""} ${first?.message ?? ""}`.trim();
}
