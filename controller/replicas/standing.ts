/**
 * Pure. Whom this replica may serve. One that is cut off from the API knows what is old: a ztunnel that came to it from another replica would
 * be taken back behind what the mesh already counts on. So it stops before the others stop to wait for it, and begins again when everything
 * has been read anew. Alone it keeps the clients that it has, who know nothing newer, and takes no other: perhaps it has been replaced
 * (docs/adr/0018).
 */
import type { Audience } from "../push/client-stream.ts";

export interface StandingFacts {
  /** Its Lease is younger than the others' patience, by far. */
  readonly isFresh: boolean;
  /** Other replicas lived when it last heard of any. */
  readonly hasOthers: boolean;
  /** Its Lease has lapsed, and not everything has been read and published since. */
  readonly isCatchingUp: boolean;
}

export type Standing = "serving" | "holding" | "cut-off" | "catching-up";

export function standing({ isFresh, hasOthers, isCatchingUp }: StandingFacts): Standing {
  if (!isFresh && hasOthers) return "cut-off";
  if (isCatchingUp) return "catching-up";
  return isFresh ? "serving" : "holding";
}

export const AUDIENCES: Readonly<Record<Standing, Audience>> = {
  serving: "everybody",
  holding: "present",
  "cut-off": "nobody",
  "catching-up": "nobody",
};
