/** Pure. Where one pod stands among waypoints. Its services have a say: whoever calls them must not be refused at the pod. */
import type { WaypointChoice } from "../../translate/waypoint-choice.ts";
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
import { type Binding, pushesOf } from "../binding/binding.ts";
import { type PodPushes, podPushes } from "../binding/pod-binding.ts";
import type { WaypointGateway } from "../gateway/waypoint-gateway.ts";

/** A running pod that has come under an enforced policy. */
export interface JoiningPod {
  readonly uid: string;
  /** HTTP policies applied to it as far as ztunnels can: they go on. */
  readonly tookL4Forms: boolean;
}

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
  /** It has just come under them: nobody is refused yet. */
  readonly joining?: JoiningPod | undefined;
}

export interface PodPlace extends EffectiveWaypoint {
  /** Bindings of the automatic waypoint that are about it. */
  readonly covering: readonly Binding[];
  readonly pushes: PodPushes;
  /** Let through beside the automatic waypoint: one of them is taking over from the other. */
  readonly spared: readonly WaypointGateway[];
  /** HTTP policies about it apply in ztunnels' approximation: no automatic waypoint judges by them, or none yet. */
  readonly takesL4Forms: boolean;
}

export function podPlace(facts: PodPlaceFacts): PodPlace {
  const { namespace, standing, choices, attached, bindings, joining } = facts;
  const [own] = choices;
  const hold = automaticHold(
    choices.filter(({ kind }) => kind === "explicit").map((choice) => stageOfChoice(choice, attached)),
  );
  const isHeld = standing === "explicit" && hold.stays && choices.every(({ kind }) => kind !== "opted-out");
  const covering = standing === "automatic" || isHeld ? bindings : [];
  const pushes = podPushes(joining === undefined ? covering : covering.map(drained));
  const chooses = standing === "explicit" && own.kind === "explicit";
  return {
    ...placeOf({
      traffic: "workload",
      choice: chooses ? own : { kind: "automatic" },
      refusal: facts.refusal,
      attached: attached.filter(({ attachment: { carrier } }) => isPodsOwn(carrier, own, namespace)),
      automatic: automaticClaim(namespace, covering),
    }),
    covering,
    pushes: { ...pushes, denies: pushes.denies && hold.denies },
    spared: sparedBeside(attached),
    takesL4Forms:
      joining?.tookL4Forms === true ||
      (standing === "automatic" ? isHeldBy(attached) : covering.length === 0),
  };
}

function drained(binding: Binding): Binding {
  return pushesOf(binding.stage).denies ? { ...binding, stage: "draining" } : binding;
}

/** What attaches the pod itself, whatever its services do. */
function isPodsOwn(carrier: string, own: WaypointChoice, namespace: string): boolean {
  return carrier === `namespace ${namespace}` || (own.kind === "explicit" && carrier === own.carrier);
}
