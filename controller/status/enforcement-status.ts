/** What waypoints make of policies, as the leader saw it last. */
import type { MeshIndex } from "../mesh-index.ts";
import type { MeshPolicy } from "../translate/mesh-policy.ts";
import { enforcedCondition } from "../waypoints/enforcement.ts";
import type { WaypointView } from "../waypoints/waypoint-view.ts";
import type { Enforcement } from "./status-writer.ts";

export class EnforcementStatus {
  readonly #index: MeshIndex;
  #view: WaypointView | undefined;
  #text = "";

  constructor(index: MeshIndex) {
    this.#index = index;
  }

  /** Takes the newest view; true when it says something new. */
  changed(view: WaypointView): boolean {
    this.#view = view;
    const policies = [...this.#index.policies.authorizationPolicies.values()];
    const text = JSON.stringify([
      policies.map((policy) => this.of(policy)),
      [...view.gateways].map(([key, one]) => [key, one, [...one.generations], [...one.waits]]),
      [...this.#index.waypoints.gateways.values()],
    ]);
    if (text === this.#text) return false;
    this.#text = text;
    return true;
  }

  of(policy: MeshPolicy): Enforcement | undefined {
    const isPlain = policy.l7Fields.length + policy.targets.length === 0;
    if (isPlain) return { condition: undefined, targetGap: undefined };
    if (this.#view === undefined) return undefined;
    const gaps = this.#view.needs.gaps.get(policy.key) ?? [];
    const bad = gaps.find(({ reason }) => reason === "TargetNotFound" || reason === "UnsupportedTarget");
    const { gateways } = this.#index.waypoints;
    return {
      condition: enforcedCondition(policy, this.#view, (key) => gateways.get(key)),
      targetGap:
        bad === undefined || !("path" in bad)
          ? undefined
          : `${bad.path}: ${bad.what} ${bad.reason === "TargetNotFound" ? "does not exist" : "cannot be a target"}`,
    };
  }
}
