/** Configuration of ztunnel: environment variables with Istio's names, read once, every problem reported together. */
import type { Parsed } from "#core/base/parse-result.ts";
import { SYSTEM_NAMESPACE } from "#core/model/well-known.ts";
import type { EnvReader } from "#core/runtime/env.ts";
import { type ProxySettings, readProxySettings } from "#core/runtime/proxy-settings.ts";

export interface ZtunnelConfig extends ProxySettings, DataPathSettings {
  readonly node: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly inpodUds: string;
  /** File that describes the mesh instead of a controller; "" for the controller. */
  readonly localStatePath: string;
}

interface DataPathSettings {
  readonly shortCircuit: boolean;
  readonly drainDeadlineMs: number;
  readonly workloadWaitMs: number;
  readonly certificateWaitMs: number;
  readonly policyHoldMs: number;
  readonly waypointWaitMs: number;
  readonly connectTimeoutMs: number;
}

export function parseConfig(env: EnvReader): Parsed<ZtunnelConfig> {
  return env.collect({
    node: env.string("NODE_NAME", { help: "name of the node whose pods are served" }),
    podName: env.string("POD_NAME", { default: "ztunnel", help: "name of this pod" }),
    podNamespace: env.string("POD_NAMESPACE", { default: SYSTEM_NAMESPACE, help: "namespace of this pod" }),
    ...readProxySettings(env),
    inpodUds: env.string("INPOD_UDS", {
      default: "/var/run/ztunnel/ztunnel.sock",
      help: "socket of the node agent",
    }),
    localStatePath: env.string("AMBIT_LOCAL_STATE", {
      default: "",
      help: "YAML or JSON file with workloads, services and policies, instead of a controller",
    }),
    ...readDataPath(env),
  });
}

function readDataPath(env: EnvReader): DataPathSettings {
  const grace = env.integer("TERMINATION_GRACE_PERIOD_SECONDS", {
    default: 0,
    help: "grace period of the pod, from which the drain deadline follows",
  });
  return {
    shortCircuit: env.boolean("AMBIT_SHORT_CIRCUIT", {
      default: true,
      help: "join two pods of this node in process, after the same authorization",
    }),
    drainDeadlineMs: env.durationMs("CONNECTION_TERMINATION_DEADLINE", {
      default: drainDeadlineMs(grace),
      help: "how long open connections may finish after SIGTERM",
    }),
    workloadWaitMs: env.durationMs("AMBIT_WORKLOAD_WAIT", { default: 5_000, help: "bound of O5" }),
    certificateWaitMs: env.durationMs("AMBIT_CERTIFICATE_WAIT", { default: 10_000, help: "bound of O8" }),
    policyHoldMs: env.durationMs("AMBIT_POLICY_HOLD", {
      default: 5_000,
      help: "how long a connection waits for a policy that is named but not there",
    }),
    waypointWaitMs: env.durationMs("AMBIT_WAYPOINT_WAIT", {
      default: 10_000,
      help: "how long a connection waits for a waypoint that is bound and not ready",
    }),
    connectTimeoutMs: env.durationMs("AMBIT_CONNECT_TIMEOUT", {
      default: 10_000,
      help: "bound of each dial",
    }),
  };
}

/** Istio's rule: five seconds before the pod's grace period ends, one second when that is short; five by default. */
function drainDeadlineMs(graceSeconds: number): number {
  if (graceSeconds === 0) return 5_000;
  return Math.max(1, graceSeconds > 10 ? graceSeconds - 5 : graceSeconds - 1) * 1_000;
}
