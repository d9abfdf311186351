/** Replicas wired to the rest of the controller: what this one tells of itself, and what follows from where it stands. */
import type { Clock } from "#core/base/clock.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import type { ControllerConfig } from "./config.ts";
import type { EncodedResource } from "./encoded-resource.ts";
import type { MeshGraph } from "./mesh-graph.ts";
import type { DeltaServer } from "./push/delta-server.ts";
import { gatewayTexts } from "./replicas/gateway-texts.ts";
import { OwnReport } from "./replicas/own-report.ts";
import { Replicas } from "./replicas/replicas.ts";
import type { KubeSource } from "./source/kube-source.ts";
import type { Refusals } from "./status/refusals.ts";

export interface ReplicaControlDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly graph: MeshGraph;
  readonly source: KubeSource;
  readonly xds: () => DeltaServer;
  readonly refusals: Refusals;
  /** What the replicas say has changed. */
  readonly onChange: () => void;
  readonly onServing: (serves: boolean) => void;
}

export function controllerReplicas(config: ControllerConfig, deps: ReplicaControlDeps): Replicas {
  const { client, clock, log, graph, source, xds, refusals, onChange, onServing } = deps;
  const report = new OwnReport({
    graph,
    clock,
    hasOthers: () => replicas.hasOthers(),
    streams: () => xds().streams,
    refusals,
    textOf: gatewayTexts(graph),
  });
  let rereadTo: number | undefined;
  const replicas: Replicas = new Replicas({
    client,
    clock,
    onChange,
    log: log.child("replicas"),
    namespace: config.namespace,
    podName: config.podName,
    podUid: config.podUid,
    awayMs: config.waypoints.times.missingMs,
    ownReport: () => report.now(),
    onBegun: () => {
      // Not before: whoever moved the mesh on without this replica did so before what is listed now.
      source.start();
      onServing(true);
    },
    reread: () => {
      rereadTo = undefined;
      source.reread();
    },
    isCurrent: () => {
      if (source.isCurrent()) rereadTo ??= graph.noted();
      return rereadTo !== undefined && graph.isPublishedTo(rereadTo);
    },
    onStanding: (standing) => {
      onServing(standing === "serving" || standing === "holding");
      if (standing === "cut-off")
        spawn(log, "cut-off", () => xds().closeAll("this replica is cut off from the API server"));
    },
  });
  return replicas;
}

/** Why a client of any replica refused a resource in its present version. */
export function clientRefusal(
  resource: EncodedResource | undefined,
  refusals: Refusals,
  replicas: Replicas,
): string | undefined {
  const others = (): string | undefined =>
    replicas.refused().find(({ name, version }) => name === resource?.name && version === resource.version)
      ?.reason;
  return refusals.reasonFor(resource) ?? others();
}
