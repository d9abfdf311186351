/** Pure. Where one pod stands among waypoints. Its services have a say: whoever calls them must not be refused at the pod. */
import type { WaypointChoice } from "../translate/waypoint-choice.ts";
import { automaticHold, type EffectiveWaypoint } from "./effective-waypoint.ts";
import {
  automaticClaim,
  type Attached,
  isHeldBy,
  placeOf,
  type PlaceFacts,
  sparedBeside,
  stageOfChoice,
} from "./object-place.ts";
import { type Binding } from "./binding.ts";
import { type PodPushes, podPushes } from "./pod-binding.ts";
import type { WaypointGateway } from "./waypoint-gateway.ts";

export interface PodPlaceFacts {
  readonly namespace: string;
  /** By labels, as far as the automatic waypoint is concerned. */
  readonly standing: "automatic" | "explicit" | "none";
  /** Its own, then those of its services. */
  readonly choices: readonly [WaypointChoice, ...WaypointChoice[]];
  readonly refusal: PlaceFacts["refusal"];
  /** To the pod, its services or its namespace. */
  readonly attached: readonly Attached[];
  /** Those of the automatic waypoint that have it in their scope. */
  readonly bindings: readonly Binding[];
}

export interface PodPlace extends EffectiveWaypoint {
  readonly pushes: PodPushes;
  /** Let through beside the automatic waypoint: one of them is taking over from the other. */
  readonly spared: readonly WaypointGateway[];
  /** HTTP policies about it apply in ztunnels' approximation: no automatic waypoint judges by them, or none yet. */
  readonly takesL4Forms: boolean;
}

export function podPlace(facts: PodPlaceFacts): PodPlace {
  const { namespace, standing, choices, attached, bindings } = facts;
  const [own] = choices;
  const hold = automaticHold(
    choices.filter(({ kind }) => kind === "explicit").map((choice) => stageOfChoice(choice, attached)),
  );
  const isHeld = standing === "explicit" && hold.stays && choices.every(({ kind }) => kind !== "opted-out");
  const covering = standing === "automatic" || isHeld ? bindings : [];
  const pushes = podPushes(covering);
  const chooses = standing === "explicit" && own.kind === "explicit";
  return {
    ...placeOf({
      traffic: "workload",
      choice: chooses ? own : { kind: "automatic" },
      refusal: facts.refusal,
      attached: attached.filter(({ attachment: { carrier } }) => isPodsOwn(carrier, own, namespace)),
      automatic: automaticClaim(namespace, covering),
    }),
    pushes: { ...pushes, denies: pushes.denies && hold.denies },
    spared: sparedBeside(attached),
    takesL4Forms: standing === "automatic" ? isHeldBy(attached) : covering.length === 0,
  };
}

/** What attaches the pod itself, whatever its services do. */
function isPodsOwn(carrier: string, own: WaypointChoice, namespace: string): boolean {
  return carrier === `namespace ${namespace}` || (own.kind === "explicit" && carrier === own.carrier);
}
