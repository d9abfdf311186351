/** All controllers, started and stopped together. */
import type { RestDeps } from "../rest/context.ts";
import { startCrdController } from "./crd-established.ts";
import { startDaemonSetController } from "./daemonset.ts";
import { startDeploymentController } from "./deployment.ts";
import { startEndpointSliceController } from "./endpointslice.ts";
import { startEventTtl } from "./event-ttl.ts";
import { startGarbageCollector } from "./garbage-collector.ts";
import { startNamespaceController } from "./namespace.ts";
import { startReplicaSetController } from "./replicaset.ts";
import { startRoleAggregation } from "./role-aggregation.ts";
import { startScheduler } from "./scheduler.ts";

/** Returns what stops them. */
export function startControllers(deps: RestDeps, caPem: string, which: "all" | "storage"): () => void {
  const started = [
    startNamespaceController(deps, caPem),
    startCrdController(deps),
    startRoleAggregation(deps),
    startGarbageCollector(deps),
    startEndpointSliceController(deps),
    startEventTtl(deps),
    ...(which === "all"
      ? [startReplicaSetController, startDeploymentController, startDaemonSetController, startScheduler].map(
          (start) => start(deps),
        )
      : []),
  ];
  return () => {
    for (const controller of started) controller.stop();
  };
}
