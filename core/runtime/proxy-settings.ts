/** What ztunnels and waypoints read alike from their environment, by Istio's names. */
import { AMBIT_VERSION } from "../base/ambit-version.ts";
import {
  ADMIN_PORT,
  DEFAULT_CLUSTER_ID,
  DEFAULT_TRUST_DOMAIN,
  METRICS_PORT,
  READINESS_PORT,
  SYSTEM_NAMESPACE,
} from "../model/well-known.ts";
import type { EnvReader } from "./env.ts";
import type { LogLevel } from "./log.ts";
import { parseLogLevel } from "./log-level.ts";

export interface ProxySettings extends MeshSettings, ControlPlaneSettings, OperationSettings {}

interface MeshSettings {
  readonly instanceIp: string;
  readonly network: string;
  readonly clusterId: string;
  /** Ours first, then aliases whose peers are believed. */
  readonly trustDomains: readonly string[];
}

interface ControlPlaneSettings {
  /** `host:port`. */
  readonly xdsAddress: string;
  readonly caAddress: string;
  readonly xdsRootPath: string;
  readonly caRootPath: string;
  /** Path of the token file. */
  readonly authTokenPath: string;
  readonly secretTtlMs: number;
  /** Directory of a root key that signs certificates in this process; "" for the CA. */
  readonly fileCaPath: string;
}

interface OperationSettings {
  readonly handles: "raw" | "public" | "";
  readonly logLevel: LogLevel;
  readonly logFormat: "json" | "plain";
  readonly adminPort: number;
  readonly metricsPort: number;
  readonly readinessPort: number;
  readonly version: string;
}

const CONTROLLER = `https://istiod.${SYSTEM_NAMESPACE}.svc:15012`;
const ROOT_CERT = "/var/run/secrets/istio/root-cert.pem";

export function readProxySettings(env: EnvReader): ProxySettings {
  return { ...readMesh(env), ...readControlPlane(env), ...readOperation(env) };
}

function readMesh(env: EnvReader): MeshSettings {
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
    instanceIp: env.string("INSTANCE_IP", { default: "1.1.1.1", help: "address of this pod" }),
    network: env.string("NETWORK", {
      default: "",
      help: "network of this pod; empty is the default network",
    }),
    clusterId: env.string("ISTIO_META_CLUSTER_ID", { default: cluster, help: "wins over CLUSTER_ID" }),
    trustDomains: [trustDomain, ...aliases],
  };
}

function readControlPlane(env: EnvReader): ControlPlaneSettings {
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

function readOperation(env: EnvReader): OperationSettings {
  const level = env.string("RUST_LOG", { default: "info", help: "trace, debug, info, warn or error" });
  return {
    handles: env.choice("AMBIT_HANDLES", {
      choices: ["", "raw", "public"],
      default: "",
      help: "raw or public; empty chooses",
    }),
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
