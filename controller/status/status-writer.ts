/** Writes conditions on policies, by the leader alone: on every change, and all of them when leadership begins. */
import type { Clock } from "#core/base/clock.ts";
import { serverSideApply } from "#core/k8s/apply.ts";
import { AUTHORIZATION_POLICY, type Kind, PEER_AUTHENTICATION } from "#core/k8s/kinds.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import type { Collection } from "../collections/collection.ts";
import type { MeshPolicies } from "../mesh-policies.ts";
import { isForWaypoints, type MeshPolicy } from "../translate/mesh-policy.ts";
import { type Guard, guardedCondition } from "../translate/guarded.ts";
import type { Sources } from "../sources.ts";
import {
  authorizationCondition,
  type Condition,
  conditionsToApply,
  peerAuthenticationCondition,
  refusedCondition,
  type WaypointPart,
} from "./conditions.ts";
import type { WriteQueue } from "./write-queue.ts";

export interface StatusWriterDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly queue: WriteQueue;
  readonly sources: Sources;
  readonly policies: MeshPolicies;
  /** Why a ztunnel refused the present version of a policy, by resource name. */
  readonly refusal: (name: string) => string | undefined;
  /** What waypoints make of a policy; undefined while that is not known. */
  readonly enforcement: (policy: MeshPolicy) => Enforcement | undefined;
}

export interface Enforcement extends WaypointPart {
  /** Absent for a policy that needs no waypoint. */
  readonly condition: Condition | undefined;
  /** What it closes already. */
  readonly guard: Guard;
}

const FIELD_MANAGER = "ambit-controller-status";

export class StatusWriter {
  readonly #deps: StatusWriterDeps;
  /** By object: the version that was last written to. Until the watch has told of that write it is not repeated. */
  readonly #written = new Map<string, string>();

  constructor(deps: StatusWriterDeps) {
    this.#deps = deps;
    const { policies } = deps;
    policies.authorizationPolicies.subscribe((changes) => {
      for (const { key, new: policy } of changes) {
        if (policy === undefined) this.#written.delete(`${AUTHORIZATION_POLICY.kind} ${key}`);
        else this.#authorization(key);
      }
    });
    policies.reportedPeers.subscribe((changes) => {
      for (const { key, new: policy } of changes) {
        if (policy === undefined) this.#written.delete(`${PEER_AUTHENTICATION.kind} ${key}`);
        else this.#peer(key);
      }
    });
  }

  /** Leadership began: what others left undone is done now. */
  writeAll(): void {
    for (const [key] of this.#deps.policies.authorizationPolicies.entries()) this.#authorization(key);
    for (const [key] of this.#deps.policies.reportedPeers.entries()) this.#peer(key);
  }

  /** A ztunnel has refused a policy: the condition of its object changes. */
  refused(name: string): void {
    if (this.#deps.policies.authorizationPolicies.get(name) !== undefined) this.#authorization(name);
  }

  /** What waypoints make of policies has changed: those that they concern are looked at again. */
  enforcementChanged(): void {
    for (const [key, policy] of this.#deps.policies.authorizationPolicies.entries()) {
      if (isForWaypoints(policy)) this.#authorization(key);
    }
  }

  #authorization(key: string): void {
    const { sources, policies, refusal, enforcement } = this.#deps;
    this.#put(AUTHORIZATION_POLICY, key, sources.authorizationPolicies, () => {
      const policy = policies.authorizationPolicies.get(key);
      const enforced = policy === undefined ? undefined : enforcement(policy);
      if (policy === undefined || enforced === undefined) return undefined;
      const reason = policy.authorization === undefined ? undefined : refusal(key);
      const { condition } = enforced;
      const accepted =
        reason === undefined
          ? authorizationCondition(policy, enforced)
          : refusedCondition(policy.generation, reason);
      const guarded = guardedCondition(enforced.guard, policy.generation);
      return [accepted, condition, guarded].filter((one) => one !== undefined);
    });
  }

  #peer(key: string): void {
    const { sources, policies } = this.#deps;
    this.#put(PEER_AUTHENTICATION, key, sources.peerAuthentications, (object) => {
      const policy = policies.reportedPeers.get(key);
      return policy === undefined
        ? undefined
        : [peerAuthenticationCondition(policy, object.metadata.generation)];
    });
  }

  #put(
    kind: Kind,
    key: string,
    objects: Collection<CustomObject>,
    wanted: (object: CustomObject) => readonly Condition[] | undefined,
  ): void {
    const { client, clock, queue } = this.#deps;
    const object = objects.get(key);
    const now = object === undefined ? undefined : wanted(object);
    // Most changes say nothing new, our own writes among them: they need not pass the queue.
    if (object === undefined || now === undefined) return;
    if (conditionsToApply(object.conditions, now, clock.nowMs()) === undefined) return;
    const name = `${kind.kind} ${key}`;
    queue.put(name, async () => {
      const current = objects.get(key);
      const list = current === undefined ? undefined : wanted(current);
      if (current === undefined || list === undefined) {
        this.#written.delete(name);
        return;
      }
      const mark = `${current.metadata.uid} ${current.metadata.resourceVersion} ${JSON.stringify(list)}`;
      if (this.#written.get(name) === mark) return;
      const conditions = conditionsToApply(current.conditions, list, clock.nowMs());
      if (conditions === undefined) return;
      const { namespace, name: objectName } = current.metadata;
      await serverSideApply(
        client,
        { kind, namespace, name: objectName, subresource: "status" },
        { status: { conditions } },
        { fieldManager: FIELD_MANAGER, force: true },
      );
      this.#written.set(name, mark);
    });
  }
}
