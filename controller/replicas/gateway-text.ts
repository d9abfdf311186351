/**
 * Pure. What a stage of a waypoint's bindings is about, as every replica derives it from the API: the record on the Gateway, and the
 * versions of the policies that it may enforce. Who has published what follows from it may be counted on; equal text, equal consequences.
 */
import { hash } from "node:crypto";
import type { CustomObject } from "#core/k8s/object-types.ts";
import type { WaypointGateway } from "../waypoints/gateway/waypoint-gateway.ts";
import { formatRecord } from "../waypoints/gateway/waypoint-record.ts";

/** `policies`: by key, undefined for one that is gone. */
export function gatewayText(
  gateway: Pick<WaypointGateway, "uid" | "automatic" | "serves" | "record">,
  policies: ReadonlyMap<string, CustomObject | undefined>,
): string {
  const { uid, automatic, serves, record } = gateway;
  const versions = [...policies]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, policy]) => [key, ...versionOf(policy)]);
  const all = JSON.stringify([uid, automatic, serves, formatRecord(record), versions]);
  return hash("sha256", all, "hex").slice(0, 32);
}

/** Annotations say how a policy is meant, and change no generation. Those of others were left out when it was read. */
function versionOf(policy: CustomObject | undefined): readonly unknown[] {
  if (policy === undefined) return [];
  const { uid, generation, annotations } = policy.metadata;
  return [uid, generation, Object.entries(annotations).toSorted(([a], [b]) => (a < b ? -1 : 1))];
}
