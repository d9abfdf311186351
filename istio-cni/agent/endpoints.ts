/** The agent's HTTP ports: health for the kubelet, metrics, and on loopback what is outside the mesh: connections and pods. */
import { Counter, Gauge, Registry } from "prom-client";
import { type Endpoint, listenEndpoint } from "#core/runtime/http-endpoint.ts";
import type { Readiness } from "#core/runtime/readiness.ts";
import type { AgentConfig } from "./config.ts";
import type { OlderConnections } from "./older-connections.ts";
import type { PodRegistry } from "./pod-registry.ts";
import type { RefusalCounts } from "./refusals.ts";
import type { SkippedPods } from "./skipped-pods.ts";

export interface EndpointDeps {
  readonly config: AgentConfig;
  readonly readiness: Readiness;
  readonly older: OlderConnections;
  readonly skipped: SkippedPods;
  readonly pods: PodRegistry;
  readonly ztunnelsConnected: () => number;
  readonly refusals: RefusalCounts;
}

/** Opens the three ports; the result closes them. */
export async function openEndpoints(deps: EndpointDeps): Promise<() => Promise<void>> {
  const { config, readiness, older } = deps;
  const registry = metrics(deps);
  const opened: Endpoint[] = [];
  const closeAll = async (): Promise<void> => {
    await Promise.all(opened.map((endpoint) => endpoint.close()));
  };
  const json = (value: unknown): { status: number; body: string; contentType: string } => ({
    status: 200,
    body: `${JSON.stringify(value, undefined, 2)}\n`,
    contentType: "application/json",
  });
  opened.push(
    await listenEndpoint({
      host: "::",
      port: config.healthPort,
      routes: {
        "GET /healthz": () => ({ status: 200, body: "ok\n" }),
        "GET /readyz": () =>
          readiness.isReady()
            ? { status: 200, body: "ready\n" }
            : { status: 503, body: `not ready, pending: ${readiness.pending().join(", ")}\n` },
      },
    }),
    await listenEndpoint({
      host: "::",
      port: config.metricsPort,
      routes: {
        "GET /metrics": async () => ({
          status: 200,
          body: await registry.metrics(),
          contentType: registry.contentType,
        }),
      },
    }),
    await listenEndpoint({
      host: "127.0.0.1",
      port: config.adminPort,
      routes: {
        "GET /connections": () => json({ connections: older.list() }),
        "GET /skipped": () => json({ pods: deps.skipped.list() }),
      },
    }),
  );
  return closeAll;
}

function metrics(deps: EndpointDeps): Registry {
  const registry = new Registry();
  const gauge = (name: string, help: string, value: () => number): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value());
      },
    });
  };
  gauge("ztunnel_connected", "Number of connections to ztunnel", deps.ztunnelsConnected);
  gauge("ambit_captured_pods", "Pods of this node whose traffic is captured", () => deps.pods.size);
  new Gauge({
    name: "ambit_pre_enrolment_connections",
    help: "Connections older than their pod's enrolment, which bypass the mesh",
    labelNames: ["namespace", "pod"],
    registers: [registry],
    collect() {
      this.reset();
      for (const row of deps.older.list()) this.inc({ namespace: row.namespace, pod: row.name });
    },
  });
  new Counter({
    name: "ambit_agent_refusals_total",
    help: "What the node agent refused, by kind",
    labelNames: ["kind"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [kind, count] of deps.refusals.all()) this.inc({ kind }, count);
    },
  });
  return registry;
}
