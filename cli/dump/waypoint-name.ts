/** Pure. What a waypoint's address is called: the service that has this hostname or virtual address. */
import type { DumpedService } from "./ztunnel-dump.ts";

/** `None` without a waypoint, `NA` when no service has the address. */
export function waypointName(destination: string, services: readonly DumpedService[]): string {
  if (destination === "") return "None";
  const service = services.find(
    (s) => `${s.namespace}/${s.hostname}` === destination || s.vips.includes(destination),
  );
  return service?.name ?? "NA";
}
