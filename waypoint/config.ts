/** Configuration of a waypoint: environment variables with Istio's names, read once, every problem reported together. */
import { AMBIT_VERSION } from "#core/base/ambit-version.ts";
import type { Parsed } from "#core/base/parse-result.ts";
import {
  ADMIN_PORT,
  DEFAULT_CLUSTER_ID,
  DEFAULT_TRUST_DOMAIN,
  HBONE_PORT,
  METRICS_PORT,
  READINESS_PORT,
  SYSTEM_NAMESPACE,
} from "#core/model/well-known.ts";
import type { EnvReader } from "#core/runtime/env.ts";
import type { LogLevel } from "#core/runtime/log.ts";
import { parseLogLevel } from "#core/runtime/log-level.ts";

export interface WaypointSettings {
  /** Name of the Gateway whose waypoint this is; with the namespace, the name of its configuration. */
  readonly gateway: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly serviceAccount: string;
  readonly instanceIp: string;
  readonly node: string;
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
  /** Directory of a root key that signs in this process; "" for the CA. */
  readonly fileCaPath: string;
  readonly handles: "raw" | "public" | "";
  readonly drainDeadlineMs: number;
  readonly connectTimeoutMs: number;
  readonly logLevel: LogLevel;
  readonly logFormat: "json" | "plain";
  readonly hbonePort: number;
  readonly adminPort: number;
  readonly metricsPort: number;
  readonly readinessPort: number;
  readonly version: string;
}

const CONTROLLER = `https://istiod.${SYSTEM_NAMESPACE}.svc:15012`;
const ROOT_CERT = "/var/run/secrets/istio/root-cert.pem";

export function parseSettings(env: EnvReader): Parsed<WaypointSettings> {
  const value = {
    ...readIdentity(env),
    ...readControlPlane(env),
    ...readDataPath(env),
    ...readOperation(env),
  };
  return env.collect(value);
}

type IdentityKeys =
  | "gateway"
  | "podName"
  | "podNamespace"
  | "serviceAccount"
  | "instanceIp"
  | "node"
  | "network"
  | "clusterId"
  | "trustDomains";

function readIdentity(env: EnvReader): Pick<WaypointSettings, IdentityKeys> {
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
    gateway: env.string("GATEWAY_NAME", { help: "name of the Gateway that this waypoint serves" }),
    podName: env.string("POD_NAME", { help: "name of this pod" }),
    podNamespace: env.string("POD_NAMESPACE", { help: "namespace of this pod and of its Gateway" }),
    serviceAccount: env.string("SERVICE_ACCOUNT", { help: "account of this pod: the waypoint's identity" }),
    instanceIp: env.string("INSTANCE_IP", { default: "1.1.1.1", help: "address of this pod" }),
    node: env.string("NODE_NAME", { help: "name of the node where this pod runs" }),
    network: env.string("NETWORK", {
      default: "",
      help: "network of this pod; empty is the default network",
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
  | "fileCaPath";

function readControlPlane(env: EnvReader): Pick<WaypointSettings, ControlPlaneKeys> {
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
    fileCaPath: env.string("AMBIT_FILE_CA", {
      default: "",
      help: "directory of root.pem, certificate and key (made when absent), instead of a CA",
    }),
  };
}

type DataPathKeys = "handles" | "drainDeadlineMs" | "connectTimeoutMs" | "hbonePort";

function readDataPath(env: EnvReader): Pick<WaypointSettings, DataPathKeys> {
  return {
    handles: env.choice("AMBIT_HANDLES", {
      choices: ["", "raw", "public"],
      default: "",
      help: "raw or public; empty chooses",
    }),
    drainDeadlineMs: env.durationMs("CONNECTION_TERMINATION_DEADLINE", {
      default: 20_000,
      help: "how long open requests may finish after SIGTERM",
    }),
    connectTimeoutMs: env.durationMs("AMBIT_CONNECT_TIMEOUT", { default: 1_000, help: "bound of each dial" }),
    hbonePort: env.port("AMBIT_HBONE_PORT", { default: HBONE_PORT, help: "port of arriving tunnels" }),
  };
}

type OperationKeys = "logLevel" | "logFormat" | "adminPort" | "metricsPort" | "readinessPort" | "version";

function readOperation(env: EnvReader): Pick<WaypointSettings, OperationKeys> {
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
