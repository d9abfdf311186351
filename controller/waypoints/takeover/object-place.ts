/** Pure. Where one service or pod stands among waypoints: by its labels, what policies need, and what is in force for it. */
import type { NamespaceObject } from "#core/k8s/object-types.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import type { WaypointChoice } from "../../translate/waypoint-choice.ts";
import type { Attachment } from "./attachment.ts";
import { type Binding, pushesOf, type Stage } from "../binding/binding.ts";
import { type Claim, effectiveWaypoint, type EffectiveWaypoint } from "./effective-waypoint.ts";
import { mayAttach, type WaypointGateway } from "../gateway/waypoint-gateway.ts";

export type ChoiceRefusal =
  | "WaypointNotFound"
  | "WaypointIsNotReady"
  | "AttachmentDenied"
  | "UnsupportedTrafficType";

/** An explicit waypoint that serves, or has served, a label's objects. */
export interface Attached {
  readonly gateway: WaypointGateway;
  readonly attachment: Attachment;
}

export interface PlaceFacts {
  readonly traffic: "service" | "workload";
  readonly choice: WaypointChoice;
  /** Why the waypoint that labels name does not take it. */
  readonly refusal: ChoiceRefusal | undefined;
  /** By labels that reach it, the most specific first. */
  readonly attached: readonly Attached[];
  /** Of the automatic waypoint. */
  readonly automatic: Claim | undefined;
}

export function placeOf({ traffic, choice, refusal, attached, automatic }: PlaceFacts): EffectiveWaypoint {
  const serving = attached.filter(({ gateway }) => serves(gateway, traffic));
  if (choice.kind !== "explicit") {
    return effectiveWaypoint({ wished: automatic, others: serving.map(claimOf), named: undefined });
  }
  const key = `${choice.namespace}/${choice.name}`;
  const wished = serving.find((one) => isOf(one, choice));
  const others = [...serving.filter((one) => one !== wished).map(claimOf), ...(automatic ? [automatic] : [])];
  const { gateway, judges } = effectiveWaypoint({
    wished: wished && claimOf(wished),
    others,
    // One that serves something else is no waypoint of this object; any other reason closes it.
    named: refusal === "UnsupportedTrafficType" ? undefined : key,
  });
  return { gateway, judges: judges.filter((judge) => judge !== key || refusal === undefined) };
}

/** How far the waypoint that labels name has got with what the label is about. */
export function stageOfChoice(choice: WaypointChoice, attached: readonly Attached[]): Stage | undefined {
  if (choice.kind !== "explicit") return undefined;
  return attached.find((one) => isOf(one, choice))?.attachment.stage;
}

/** Waypoints that a destination lets through beside the automatic one, since callers are being sent there, or come from there. */
export function sparedBeside(attached: readonly Attached[]): readonly WaypointGateway[] {
  const spared = attached.filter(({ attachment }) => pushesOf(attachment.stage).exempts);
  return [...new Map(spared.map(({ gateway }) => [gateway.key, gateway])).values()];
}

/** Some waypoint that people made is in force for it. */
export function isHeldBy(attached: readonly Attached[]): boolean {
  return attached.some(({ attachment }) => pushesOf(attachment.stage).binds);
}

/** Why an explicit waypoint does not take objects of a namespace; undefined when it does. */
export function refusalOf(
  gateway: WaypointGateway | undefined,
  { namespace, object }: { readonly namespace: string; readonly object: NamespaceObject | undefined },
  traffic: "service" | "workload",
): ChoiceRefusal | undefined {
  if (gateway === undefined) return "WaypointNotFound";
  if (gateway.automatic || !mayAttach(gateway, namespace, object)) return "AttachmentDenied";
  if (!serves(gateway, traffic)) return "UnsupportedTrafficType";
  // It has been made when nobody knows any more what it was: callers wait for it.
  const isMade = gateway.record.deploymentUid !== "" || gateway.lost !== undefined;
  return isMade ? undefined : "WaypointIsNotReady";
}

function serves(gateway: WaypointGateway, traffic: "service" | "workload"): boolean {
  return gateway.serves === traffic || gateway.serves === "all";
}

function isOf(
  { gateway, attachment }: Attached,
  choice: Extract<WaypointChoice, { readonly kind: "explicit" }>,
): boolean {
  return gateway.key === `${choice.namespace}/${choice.name}` && attachment.carrier === choice.carrier;
}

/** `covering`: its bindings that have the object in their scope. */
export function automaticClaim(namespace: string, covering: readonly Binding[]): Claim | undefined {
  if (covering.length === 0) return undefined;
  return { gateway: `${namespace}/${AUTOMATIC_WAYPOINT}`, stages: covering.map(({ stage }) => stage) };
}

function claimOf({ gateway, attachment }: Attached): Claim {
  return { gateway: gateway.key, stages: [attachment.stage] };
}
