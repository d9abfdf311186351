/** A caller's connection as the listener keeps it, whatever is spoken on it. */
import type { Reason } from "../http/reasons.ts";
import type { DestinationRoute } from "./target-route.ts";

export interface CallerConnection {
  readonly route: DestinationRoute;
  /** What is under way finishes; the caller is told to go elsewhere. */
  drain(): void;
  end(reason: Reason): void;
}
