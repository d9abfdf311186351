/**
 * Operator endpoints: admin on localhost (dump, log level, quit), metrics, readiness. Changes need POST; nothing here
 * shows keys or tokens.
 */
import type { Registry } from "prom-client";
import { type Endpoint, type EndpointReply, listenEndpoint } from "./http-endpoint.ts";
import type { LogControl } from "./log.ts";
import { parseLogLevel } from "./log-level.ts";
import type { Readiness } from "./readiness.ts";

export interface OperatorPorts {
  readonly adminPort: number;
  readonly metricsPort: number;
  readonly readinessPort: number;
}

export interface EndpointDeps {
  /** Name of the program, for people who open the admin port. */
  readonly component: string;
  readonly ports: OperatorPorts;
  readonly control: LogControl;
  readonly readiness: Readiness;
  readonly registry: Registry;
  /** Becomes JSON. */
  dump(): object;
  quit(): void;
}

export function listenAll(deps: EndpointDeps): Promise<readonly Endpoint[]> {
  const { adminPort, metricsPort, readinessPort } = deps.ports;
  const metrics = (): Promise<EndpointReply> => metricsReply(deps.registry);
  return Promise.all([
    listenEndpoint({
      port: adminPort,
      host: "127.0.0.1",
      routes: {
        "GET /": () => ({
          status: 200,
          body: `${deps.component}: /config_dump, POST /logging, POST /quitquitquit\n`,
        }),
        "GET /config_dump": () => jsonReply(deps.dump()),
        "POST /logging": (url) => loggingReply(deps.control, url),
        "POST /quitquitquit": () => quitReply(deps),
      },
    }),
    listenEndpoint({
      port: metricsPort,
      host: "::",
      routes: { "GET /metrics": metrics, "GET /stats/prometheus": metrics },
    }),
    listenEndpoint({
      port: readinessPort,
      host: "::",
      routes: { "GET /healthz/ready": () => readinessReply(deps.readiness) },
    }),
  ]);
}

function jsonReply(value: object): EndpointReply {
  return { status: 200, body: `${JSON.stringify(value, null, 2)}\n`, contentType: "application/json" };
}

async function metricsReply(registry: Registry): Promise<EndpointReply> {
  return { status: 200, body: await registry.metrics(), contentType: registry.contentType };
}

function readinessReply(readiness: Readiness): EndpointReply {
  if (readiness.isReady()) return { status: 200, body: "ready" };
  return { status: 500, body: `not ready, pending: ${readiness.pending().join(", ")}` };
}

function quitReply({ quit }: EndpointDeps): EndpointReply {
  setImmediate(quit);
  return { status: 200, body: "shutdown now\n" };
}

/** `level=debug`, `level=access:debug,xds:trace`, `reset`; without either, the levels are only shown. */
function loggingReply(control: LogControl, url: URL): EndpointReply {
  const parts = url.searchParams.get("level")?.split(",") ?? [];
  const wanted = parts.map((part) => {
    const [first = "", second] = part.split(/[:=]/);
    return { part, level: parseLogLevel(second ?? first), scope: second === undefined ? undefined : first };
  });
  const unknown = wanted.find((w) => w.level === undefined);
  if (unknown !== undefined) return { status: 400, body: `unknown level "${unknown.part.slice(0, 40)}"\n` };
  if (url.searchParams.has("reset")) control.setLevel("info");
  for (const { level, scope } of wanted) if (level !== undefined) control.setLevel(level, scope);
  const levels = Object.entries(control.levels()).map(([scope, level]) => `${scope}=${level}`);
  return { status: 200, body: `current log level is ${levels.join(",")}\n` };
}
