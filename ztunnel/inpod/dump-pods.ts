/** Pure. Pods of this node and their open connections for `config_dump` (`workloadState`). */
import type { PodUid } from "#core/model/ids.ts";
import { formatSocketAddress } from "#core/net/socket-address.ts";
import type { JsonObject } from "#core/wire/json-value.ts";
import type { TrackedConnection } from "../proxy/connection-registry.ts";
import type { LocalPod } from "../proxy/local-workload.ts";

export interface DumpedPod {
  readonly pod: LocalPod;
  readonly state: "Up" | "Pending";
}

export function dumpPods(
  pods: readonly DumpedPod[],
  connectionsOf: (pod: PodUid) => readonly TrackedConnection[],
): JsonObject {
  const sorted = pods.toSorted((a, b) => (a.pod.uid < b.pod.uid ? -1 : 1));
  return Object.fromEntries(sorted.map((p) => [p.pod.uid, dumpPod(p, connectionsOf(p.pod.uid))]));
}

function dumpPod({ pod, state }: DumpedPod, connections: readonly TrackedConnection[]): JsonObject {
  const { name, namespace, serviceAccount } = pod;
  const of = (direction: "inbound" | "outbound"): readonly JsonObject[] =>
    connections.filter((c) => c.record.direction === direction).map(dumpConnection);
  return {
    state,
    connections: { inbound: of("inbound"), outbound: of("outbound") },
    info: { name, namespace, serviceAccount },
  };
}

/** Inbound, "original" is the service that the client named; outbound, what the application dialled. */
function dumpConnection({ record }: TrackedConnection): JsonObject {
  const dialled = record.originalDestination ?? record.destination;
  return {
    src: formatSocketAddress(record.source),
    originalDst:
      record.direction === "inbound" ? (record.service?.hostname ?? null) : formatSocketAddress(dialled),
    actualDst: formatSocketAddress(record.application ?? record.destination),
    protocol: { tcp: "TCP", hbone: "HBONE", local: "LOCAL" }[record.protocol],
  };
}
