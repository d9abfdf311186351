/** Configuration of ztunnel: environment variables with Istio's names, read once, every problem reported together. */
import { AMBIT_VERSION } from "#core/base/ambit-version.ts";
import type { Parsed } from "#core/base/parse-result.ts";
import {
  ADMIN_PORT,
  DEFAULT_CLUSTER_ID,
  DEFAULT_TRUST_DOMAIN,
  METRICS_PORT,
  READINESS_PORT,
  SYSTEM_NAMESPACE,
} from "#core/model/well-known.ts";
import type { EnvReader } from "#core/runtime/env.ts";
import type { LogLevel } from "#core/runtime/log.ts";
import { parseLogLevel } from "#core/runtime/log-level.ts";

export interface ZtunnelConfig {
  readonly node: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly instanceIp: string;
  readonly network: string;
  readonly clusterId: string;
  /** Ours first, then aliases whose peers are believed. */
  readonly trustDomains: readonly string[];
  /** `host:port`. */
  readonly xdsAddress: string;
  readonly caAddress: string;
  readonly xdsRootPath: string;
  readonly caRootPath: string;
  /** Path of the token file. */
  readonly authTokenPath: string;
  readonly secretTtlMs: number;
  readonly inpodUds: string;
  /** File that describes the mesh instead of a controller; "" for the controller. */
  readonly localStatePath: string;
  /** Directory of a root key that signs certificates in this process; "" for the CA. */
  readonly fileCaPath: string;
  readonly handles: "raw" | "public" | "";
  readonly shortCircuit: boolean;
  readonly drainDeadlineMs: number;
  readonly workloadWaitMs: number;
  readonly certificateWaitMs: number;
  readonly policyHoldMs: number;
  readonly waypointWaitMs: number;
  readonly connectTimeoutMs: number;
  readonly logLevel: LogLevel;
  readonly logFormat: "json" | "plain";
  readonly adminPort: number;
  readonly metricsPort: number;
  readonly readinessPort: number;
  readonly version: string;
}

const CONTROLLER = `https://istiod.${SYSTEM_NAMESPACE}.svc:15012`;
const ROOT_CERT = "/var/run/secrets/istio/root-cert.pem";

export function parseConfig(env: EnvReader): Parsed<ZtunnelConfig> {
  const value = {
    ...readIdentity(env),
    ...readControlPlane(env),
    ...readDataPath(env),
    ...readOperation(env),
  };
  return env.collect(value);
}

type IdentityKeys =
  | "node"
  | "podName"
  | "podNamespace"
  | "instanceIp"
  | "network"
  | "clusterId"
  | "trustDomains";

function readIdentity(env: EnvReader): Pick<ZtunnelConfig, IdentityKeys> {
  const cluster = env.string("CLUSTER_ID", { default: DEFAULT_CLUSTER_ID, help: "name of the cluster" });
  const trustDomain = env.string("TRUST_DOMAIN", {
    default: DEFAULT_TRUST_DOMAIN,
    help: "trust domain of this mesh",
  });
  const aliases = env.list("TRUST_DOMAIN_ALIASES", {
    default: [],
    help: "further trust domains whose peers are believed, separated by commas",
  });
  return {
    node: env.string("NODE_NAME", { help: "name of the node whose pods are served" }),
    podName: env.string("POD_NAME", { default: "ztunnel", help: "name of this pod" }),
    podNamespace: env.string("POD_NAMESPACE", { default: SYSTEM_NAMESPACE, help: "namespace of this pod" }),
    instanceIp: env.string("INSTANCE_IP", { default: "1.1.1.1", help: "address of this pod" }),
    network: env.string("NETWORK", {
      default: "",
      help: "network of this node; empty is the default network",
    }),
    clusterId: env.string("ISTIO_META_CLUSTER_ID", { default: cluster, help: "wins over CLUSTER_ID" }),
    trustDomains: [trustDomain, ...aliases],
  };
}

type ControlPlaneKeys =
  | "xdsAddress"
  | "caAddress"
  | "xdsRootPath"
  | "caRootPath"
  | "authTokenPath"
  | "secretTtlMs"
  | "inpodUds"
  | "localStatePath"
  | "fileCaPath";

function readControlPlane(env: EnvReader): Pick<ZtunnelConfig, ControlPlaneKeys> {
  const address = (name: string, help: string): string =>
    env.string(name, { default: CONTROLLER, help }).replace(/^https:\/\//, "");
  return {
    xdsAddress: address("XDS_ADDRESS", "configuration server, https://host:port"),
    caAddress: address("CA_ADDRESS", "certificate authority, https://host:port"),
    xdsRootPath: env.string("XDS_ROOT_CA", { default: ROOT_CERT, help: "PEM file of the server's roots" }),
    caRootPath: env.string("CA_ROOT_CA", { default: ROOT_CERT, help: "PEM file of the CA server's roots" }),
    authTokenPath: env.string("AUTH_TOKEN", {
      default: "/var/run/secrets/tokens/istio-token",
      help: "file of the bearer token for both",
    }),
    secretTtlMs: env.durationMs("SECRET_TTL", { default: 86_400_000, help: "life of certificates, as 24h" }),
    inpodUds: env.string("INPOD_UDS", {
      default: "/var/run/ztunnel/ztunnel.sock",
      help: "socket of the node agent",
    }),
    localStatePath: env.string("AMBIT_LOCAL_STATE", {
      default: "",
      help: "YAML or JSON file with workloads, services and policies, instead of a controller",
    }),
    fileCaPath: env.string("AMBIT_FILE_CA", {
      default: "",
      help: "directory of root.pem, certificate and key (made when absent), instead of a CA",
    }),
  };
}

type DataPathKeys =
  | "handles"
  | "shortCircuit"
  | "drainDeadlineMs"
  | "workloadWaitMs"
  | "certificateWaitMs"
  | "policyHoldMs"
  | "waypointWaitMs"
  | "connectTimeoutMs";

function readDataPath(env: EnvReader): Pick<ZtunnelConfig, DataPathKeys> {
  const grace = env.integer("TERMINATION_GRACE_PERIOD_SECONDS", {
    default: 0,
    help: "grace period of the pod, from which the drain deadline follows",
  });
  return {
    handles: env.choice("AMBIT_HANDLES", {
      choices: ["", "raw", "public"],
      default: "",
      help: "raw or public; empty chooses",
    }),
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

type OperationKeys = "logLevel" | "logFormat" | "adminPort" | "metricsPort" | "readinessPort" | "version";

function readOperation(env: EnvReader): Pick<ZtunnelConfig, OperationKeys> {
  const level = env.string("RUST_LOG", { default: "info", help: "trace, debug, info, warn or error" });
  return {
    logLevel: parseLogLevel(level) ?? "info",
    logFormat: env.choice("LOG_FORMAT", {
      choices: ["json", "plain"],
      default: "json",
      help: "json or plain",
    }),
    adminPort: env.port("ADMIN_PORT", { default: ADMIN_PORT, help: "admin endpoint on localhost" }),
    metricsPort: env.port("STATS_PORT", { default: METRICS_PORT, help: "Prometheus endpoint" }),
    readinessPort: env.port("READINESS_PORT", { default: READINESS_PORT, help: "readiness endpoint" }),
    version: env.string("ISTIO_META_ISTIO_VERSION", {
      default: AMBIT_VERSION,
      help: "version shown in metrics, in the dump and to the controller",
    }),
  };
}
