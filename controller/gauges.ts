/** What the metrics read at every scrape. */
import type { Clock } from "#core/base/clock.ts";
import type { MeshGraph } from "./mesh-graph.ts";
import type { ControllerGauges } from "./metrics.ts";
import { allProblems } from "./problems.ts";
import type { Admission } from "./push/admission.ts";
import type { ClientStream } from "./push/client-stream.ts";
import type { KubeSource } from "./source/kube-source.ts";

export interface GaugeDeps {
  readonly graph: MeshGraph;
  readonly source: KubeSource;
  readonly admission: Admission;
  readonly clock: Clock;
  readonly streams: () => readonly ClientStream[];
  readonly isLeader: () => boolean;
}

export function controllerGauges(deps: GaugeDeps): ControllerGauges {
  const { graph, source, admission, clock } = deps;
  return {
    clients: () => deps.streams().length,
    bytesInFlight: () => admission.bytesInFlight,
    resources: () => ({
      address: graph.published.size("address"),
      authorization: graph.published.size("authorization"),
      waypoint: graph.published.size("waypoint"),
    }),
    problems: () => {
      const counts: Record<string, number> = {};
      for (const { kind } of allProblems(graph.index)) counts[kind] = (counts[kind] ?? 0) + 1;
      return counts;
    },
    apiAgeSeconds: () => {
      const contacts = [...source.health().values()].map((health) => health.lastContactMs);
      return Math.max(0, (clock.monotonicMs() - Math.max(...contacts)) / 1_000);
    },
    isLeader: deps.isLeader,
  };
}
