/**
 * Pure. Whether this replica may serve clients. One that is cut off from the API serves what is old: a ztunnel that came to it from another
 * replica would be taken back behind what the mesh already counts on. So it stops before the others stop to wait for it, and begins again
 * when everything has been read anew. Alone it serves on: nobody is ahead of it (docs/adr/0017).
 */

export interface StandingFacts {
  /** Its Lease is younger than the others' patience, by far. */
  readonly isFresh: boolean;
  /** Other replicas lived when it last heard of any. */
  readonly hasOthers: boolean;
  /** Its Lease has lapsed, and not everything has been read and published since. */
  readonly isCatchingUp: boolean;
}

export type Standing = "serving" | "cut-off" | "catching-up";

export function standing({ isFresh, hasOthers, isCatchingUp }: StandingFacts): Standing {
  if (!isFresh && hasOthers) return "cut-off";
  return isCatchingUp ? "catching-up" : "serving";
}
