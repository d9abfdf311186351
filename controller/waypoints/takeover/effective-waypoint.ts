/**
 * Pure. Which waypoint a service or pod is bound to while one takes over from another, and which ones judge its requests meanwhile.
 * What was in force stays in force until what is wished is: nobody falls between them.
 */
import { pushesOf, type Stage } from "../binding/binding.ts";

/** A waypoint that has, or had, to do with the object. */
export interface Claim {
  /** `namespace/name`. */
  readonly gateway: string;
  /** Of its attachment, or of its bindings that cover the object; at least one. */
  readonly stages: readonly Stage[];
}

export interface Claims {
  /** The claim of the waypoint that labels name or, without a label, that policies need. */
  readonly wished: Claim | undefined;
  /** Those of others, the most specific first. */
  readonly others: readonly Claim[];
  /** Named by a label: where none is in force callers wait for it, there or not. */
  readonly named: string | undefined;
}

export interface EffectiveWaypoint {
  /** Told to sources. */
  readonly gateway: string | undefined;
  /** Those that have the object in their configuration. */
  readonly judges: readonly string[];
}

export function effectiveWaypoint({ wished, others, named }: Claims): EffectiveWaypoint {
  const claims = wished === undefined ? others : [wished, ...others];
  const inForce = claims.find(binds);
  const gateway = inForce?.gateway ?? named;
  // Sources may not have been told yet: whomever they still ask must answer. A waypoint that loses the object lets go of its callers.
  const isSettled = inForce !== undefined && isEverywhere(inForce);
  const asked = isSettled ? [inForce, ...(wished === undefined ? [] : [wished])] : claims.filter(isListed);
  const judges = [...(gateway === undefined ? [] : [gateway]), ...asked.map((claim) => claim.gateway)];
  return { gateway, judges: [...new Set(judges)] };

  /** What is wished is told early; what is no longer wished has been let go of when it rests. */
  function isListed(claim: Claim): boolean {
    return claim === wished || claim.stages.some((stage) => stage !== "resting");
  }
}

function binds({ stages }: Claim): boolean {
  return stages.some((stage) => pushesOf(stage).binds);
}

/** Every source has been told of it. */
function isEverywhere({ stages }: Claim): boolean {
  return stages.some((stage) => stage !== "binding" && pushesOf(stage).binds);
}

/** What a pod has to do with the automatic waypoint after labels have named others for it, or for services that contain it. */
export interface AutomaticHold {
  /** It still is bound to it. */
  readonly stays: boolean;
  /** It still refuses everybody else. */
  readonly denies: boolean;
}

/** `chosen`: how far each of the others has got. */
export function automaticHold(chosen: readonly (Stage | undefined)[]): AutomaticHold {
  const stays = !chosen.includes("enforced");
  return { stays, denies: stays && !chosen.includes("denying") };
}
