/** Pure. What the status of a Service says about the waypoint that somebody chose for it. */
import { jsonObject } from "#core/k8s/json-read.ts";
import type { ServiceWaypoint } from "../mesh-waypoints.ts";
import type { ChoiceRefusal } from "../waypoints/takeover/object-place.ts";
import type { Condition } from "./conditions.ts";

const WAYPOINT_BOUND = "istio.io/WaypointBound";

/** Empty for services of which nobody says `istio.io/use-waypoint`. */
export function boundConditions({
  service,
  choice,
  inForce,
  refusal,
}: ServiceWaypoint): readonly Condition[] {
  if (choice.kind !== "explicit" || (inForce === undefined && refusal === undefined)) return [];
  const observedGeneration = service.metadata.generation;
  const waypoint = `${choice.namespace}/${choice.name}`;
  const bound = { type: WAYPOINT_BOUND, observedGeneration };
  if (inForce !== undefined && inForce !== waypoint) {
    const why =
      refusal === undefined ? `waypoint ${waypoint} is not in force yet` : whyNot(refusal, waypoint);
    const message = `${why}; meanwhile waypoint ${inForce} goes on`;
    return [{ ...bound, status: "False", reason: refusal ?? "WaypointIsNotReady", message }];
  }
  if (refusal === undefined) {
    const message = `Successfully attached to waypoint ${waypoint}`;
    return [{ ...bound, status: "True", reason: "WaypointAccepted", message }];
  }
  return [{ ...bound, status: "False", reason: refusal, message: whyNot(refusal, waypoint) }];
}

function whyNot(refusal: ChoiceRefusal, waypoint: string): string {
  switch (refusal) {
    case "WaypointNotFound":
      return `there is no Gateway ${waypoint} of class istio-waypoint`;
    case "WaypointIsNotReady":
      return `waypoint ${waypoint} is not ready for traffic`;
    case "AttachmentDenied":
      return `the listener of waypoint ${waypoint} does not allow this namespace (allowedRoutes)`;
    case "UnsupportedTrafficType":
      return `waypoint ${waypoint} does not serve services (label istio.io/waypoint-for)`;
  }
}

/** Conditions of the object that are about this: others, of whatever name, are not ours to look at. */
export function boundConditionsOf({ service }: ServiceWaypoint): readonly unknown[] {
  return service.conditions.filter((raw) => jsonObject(raw)["type"] === WAYPOINT_BOUND);
}
