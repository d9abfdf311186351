/** Configuration of a waypoint: environment variables with Istio's names, read once, every problem reported together. */
import type { Parsed } from "#core/base/parse-result.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import type { EnvReader } from "#core/runtime/env.ts";
import { type ProxySettings, readProxySettings } from "#core/runtime/proxy-settings.ts";

export interface WaypointSettings extends ProxySettings {
  /** Name of the Gateway whose waypoint this is; with the namespace, the name of its configuration. */
  readonly gateway: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly serviceAccount: string;
  readonly node: string;
  readonly drainDeadlineMs: number;
  readonly connectTimeoutMs: number;
  readonly hbonePort: number;
}

export function parseSettings(env: EnvReader): Parsed<WaypointSettings> {
  return env.collect({
    gateway: env.string("GATEWAY_NAME", { help: "name of the Gateway that this waypoint serves" }),
    podName: env.string("POD_NAME", { help: "name of this pod" }),
    podNamespace: env.string("POD_NAMESPACE", { help: "namespace of this pod and of its Gateway" }),
    serviceAccount: env.string("SERVICE_ACCOUNT", { help: "account of this pod: the waypoint's identity" }),
    node: env.string("NODE_NAME", { help: "name of the node where this pod runs" }),
    ...readProxySettings(env),
    drainDeadlineMs: env.durationMs("CONNECTION_TERMINATION_DEADLINE", {
      default: 20_000,
      help: "how long open requests may finish after SIGTERM",
    }),
    connectTimeoutMs: env.durationMs("AMBIT_CONNECT_TIMEOUT", { default: 1_000, help: "bound of each dial" }),
    hbonePort: env.port("AMBIT_HBONE_PORT", { default: HBONE_PORT, help: "port of arriving tunnels" }),
  });
}
