/** The controller's two HTTP endpoints: metrics and readiness for the cluster, debugging on loopback. */
import type { Clock } from "#core/base/clock.ts";
import { listenEndpoint } from "#core/runtime/http-endpoint.ts";
import type { Readiness } from "#core/runtime/readiness.ts";
import type { ControllerParts } from "../app.ts";
import type { ControllerConfig } from "../config.ts";
import { debugHandlers } from "./debug-handlers.ts";

interface Endpoints {
  readonly ports: { readonly metrics: number; readonly debug: number };
  close(): Promise<void>;
}

export async function openEndpoints(
  config: ControllerConfig,
  deps: { readonly parts: ControllerParts; readonly readiness: Readiness; readonly clock: Clock },
): Promise<Endpoints> {
  const { parts, readiness, clock } = deps;
  const ready = (): { status: number; body: string } =>
    readiness.isReady()
      ? { status: 200, body: "ready\n" }
      : { status: 500, body: `not ready, pending: ${readiness.pending().join(", ")}\n` };
  const metrics = await listenEndpoint({
    host: "::",
    port: config.ports.metrics,
    routes: {
      "GET /ready": ready,
      "GET /metrics": async () => ({
        status: 200,
        body: await parts.metrics.registry.metrics(),
        contentType: parts.metrics.registry.contentType,
      }),
    },
  });
  const debug = await listenEndpoint({
    host: "127.0.0.1",
    port: config.ports.debug,
    routes: {
      "GET /ready": ready,
      ...debugHandlers({
        index: parts.graph.index,
        streams: () => parts.xds.streams,
        clusterId: config.meshDefaults.clusterId,
        monotonicNowMs: () => clock.monotonicMs(),
        nowMs: () => clock.nowMs(),
        health: () => ({
          leader: parts.election.isLeader(),
          pending: readiness.pending(),
          replicas: parts.replicas.live().map(({ name, report }) => ({ name, readable: report.ok })),
          inputs: Object.fromEntries(parts.source.health()),
        }),
      }),
    },
  });
  return {
    ports: { metrics: metrics.port, debug: debug.port },
    close: async () => {
      await Promise.all([metrics.close(), debug.close()]);
    },
  };
}
