/** What waypoints make of policies, as the leader saw it last. */
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import type { PolicyKey } from "#core/model/ids.ts";
import type { MeshIndex } from "../mesh-index.ts";
import type { PodWaypoint } from "../mesh-waypoints.ts";
import { isForWaypoints, type MeshPolicy } from "../translate/mesh-policy.ts";
import { isLivePod } from "../translate/pod.ts";
import { pushesOf } from "../waypoints/binding/binding.ts";
import { enforcedCondition } from "../waypoints/status/enforcement.ts";
import { joiningText } from "../waypoints/status/enforcement-text.ts";
import { inScope } from "../waypoints/binding/pod-binding.ts";
import { portReport } from "../waypoints/status/port-report.ts";
import type { Guard } from "../translate/guarded.ts";
import type { WaypointGateway } from "../waypoints/gateway/waypoint-gateway.ts";
import type { WaypointView } from "../waypoints/status/waypoint-view.ts";
import type { Condition } from "./conditions.ts";
import type { Enforcement } from "./status-writer.ts";

const PLAIN = { condition: undefined, targetGap: undefined, judges: [], enforced: false } as const;

export class EnforcementStatus {
  readonly #index: MeshIndex;
  readonly #outsiders: (gateway: string) => ReadonlyMap<PolicyKey, string>;
  #view: WaypointView | undefined;
  /** Versions of policies at the time of the view. */
  #seen: ReadonlyMap<string, number> = new Map();
  #text = "";

  /** `outsiders`: what is to be said about callers outside of the mesh, by policy. */
  constructor(index: MeshIndex, outsiders: (gateway: string) => ReadonlyMap<PolicyKey, string>) {
    this.#index = index;
    this.#outsiders = outsiders;
  }

  /** Takes the newest view; true when it says something new. */
  changed(view: WaypointView): boolean {
    this.#view = view;
    const policies = [...this.#index.policies.authorizationPolicies.values()];
    this.#seen = new Map(policies.map(({ key, generation }) => [key, generation]));
    const text = JSON.stringify([
      policies.map((policy) => this.of(policy)),
      [...view.gateways].map(([key, one]) => [key, one, [...one.generations], [...one.waits]]),
      [...this.#index.waypoints.gateways.values()],
    ]);
    if (text === this.#text) return false;
    this.#text = text;
    return true;
  }

  /** Pods that automatic waypoints judge by the policy. */
  #covered(policy: MeshPolicy, view: WaypointView): readonly PodWaypoint[] {
    const { podsByNamespace } = this.#index.waypoints;
    return this.#wishes(policy, view).flatMap(({ namespace, wish }) =>
      podsByNamespace
        .get(namespace)
        .filter(
          ({ pod, services, standing }) =>
            standing === "automatic" && isLivePod(pod) && inScope(wish.scope, pod, services),
        ),
    );
  }

  /** While connections to some pods have their time to end, it does not hold there. */
  #untilJoined(condition: Condition, covered: readonly PodWaypoint[]): Condition {
    const { joining } = this.#index.waypoints;
    const names = covered
      .map(({ pod: { metadata } }) => `${metadata.namespace}/${metadata.name}`)
      .filter((key) => joining.get(key) !== undefined);
    if (condition.status !== "True" || names.length === 0) return condition;
    const message = joiningText(names);
    return { ...condition, status: "False", reason: "Draining", message };
  }

  /** What the next controller must not open, should it find nothing else that says so. */
  #guard(policy: MeshPolicy, view: WaypointView): Guard {
    const { policies, waypoints } = this.#index;
    if (policies.formerForms.get(policy.key) !== undefined) return { kind: "everywhere" };
    const names = this.#wishes(policy, view).flatMap(({ namespace, wish }) => {
      const closed = (waypoints.bindings.get(namespace)?.bindings ?? []).some(
        (one) => one.policy === policy.key && pushesOf(one.stage).denies,
      );
      return closed && wish.observes !== true ? [namespace] : [];
    });
    return { kind: "namespaces", names };
  }

  #wishes({ key }: MeshPolicy, { needs }: WaypointView) {
    return [...needs.namespaces].flatMap(([namespace, wanted]) => {
      const wish = wanted.find(({ policy }) => policy === key);
      return wish === undefined ? [] : [{ namespace, wish }];
    });
  }

  of(policy: MeshPolicy): Enforcement | undefined {
    if (!isForWaypoints(policy)) return { ...PLAIN, guard: { kind: "none" } };
    // A view from before the policy, or before this version of it, knows nothing about it.
    if (this.#view === undefined || this.#seen.get(policy.key) !== policy.generation) return undefined;
    const gaps = this.#view.needs.gaps.get(policy.key) ?? [];
    const bad = gaps.find(({ reason }) => reason === "TargetNotFound" || reason === "UnsupportedTarget");
    const { gateways } = this.#index.waypoints;
    const covered = this.#covered(policy, this.#view);
    const ports = portReport(policy, covered);
    const condition = enforcedCondition(policy, this.#view, (key) => gateways.get(key), ports);
    const said = condition && this.#untilJoined(condition, covered);
    const wishes = this.#wishes(policy, this.#view);
    const judges = wishes.map(({ namespace }) => `${namespace}/${AUTOMATIC_WAYPOINT}`);
    const outsiders = judges.flatMap((name) => this.#outsiders(name).get(policy.key) ?? []);
    const timings = wishes.flatMap(
      ({ namespace }) => this.#index.waypoints.bindings.get(namespace)?.problem ?? [],
    );
    return {
      condition: said && { ...said, message: [said.message, ...timings, ...outsiders].join("; ") },
      guard: this.#guard(policy, this.#view),
      judges,
      // Not the condition, which is about gaps too: ztunnels have its L4 form, or have it not.
      enforced: judges.every((name) => hasL4Form(gateways.get(name), policy)),
      targetGap:
        bad === undefined || !("path" in bad)
          ? undefined
          : `${bad.path}: ${bad.what} ${bad.reason === "TargetNotFound" ? "does not exist" : "cannot be a target"}`,
    };
  }
}

function hasL4Form(gateway: WaypointGateway | undefined, { key }: MeshPolicy): boolean {
  const own = gateway?.record.bindings.filter(({ policy }) => policy === key) ?? [];
  return own.some(({ stage }) => pushesOf(stage).hasL4Form);
}
