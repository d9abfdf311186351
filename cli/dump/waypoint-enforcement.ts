/** Pure. What the controller says about the policies behind automatic waypoints: their condition `Enforced`. */
import { jsonObject, type JsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import { projectCustom } from "#core/k8s/project.ts";
import type { Enforced, WaypointView } from "./waypoint-view.ts";

/** Undefined: the controller has said nothing. */
export function enforcedOf({ conditions }: Pick<CustomObject, "conditions">): Enforced | undefined {
  const found = conditions.map(jsonObject).find((condition) => condition["type"] === "Enforced");
  if (found === undefined) return undefined;
  const text = (key: string): string => jsonText(found[key]);
  return { status: text("status"), reason: text("reason"), message: text("message") };
}

const SILENT: Enforced = {
  status: "Unknown",
  reason: "",
  message: "the controller has not said anything about it yet (`ambit proxy-status`)",
};
const GONE: Enforced = {
  status: "-",
  reason: "",
  message: "the policy is not there any more, or may not be read: what is bound for it is on its way out",
};

/** `policies`: those that may be read. */
export function withEnforcement(
  waypoints: readonly WaypointView[],
  policies: readonly JsonObject[],
): readonly WaypointView[] {
  const known = new Map(
    policies.map(projectCustom).map((policy) => {
      const { namespace, name } = policy.metadata;
      return [`${namespace}/${name}`, enforcedOf(policy) ?? SILENT];
    }),
  );
  return waypoints.map((waypoint) => ({
    ...waypoint,
    reasons: waypoint.reasons.map((reason) => ({ ...reason, enforced: known.get(reason.policy) ?? GONE })),
  }));
}
