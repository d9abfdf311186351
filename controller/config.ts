/** Configuration of the controller: environment variables with Istio's names where Istio has one. Read once. */
import type { Parsed } from "#core/base/parse-result.ts";
import {
  CONTROLLER_METRICS_PORT,
  DEFAULT_CLUSTER_ID,
  DEFAULT_TRUST_DOMAIN,
  SYSTEM_NAMESPACE,
  TOKEN_AUDIENCE,
  XDS_PORT,
} from "#core/model/well-known.ts";
import type { EnvReader } from "#core/runtime/env.ts";
import type { LogLevel } from "#core/runtime/log.ts";
import type { NodeCheckPolicy } from "./ca/node-check.ts";
import type { IssuePolicy } from "./ca/issue.ts";
import type { BindingTimes } from "./waypoints/binding/binding-machine.ts";
import type { DebounceOptions } from "./push/debounce.ts";
import type { MeshConfig } from "./translate/mesh-config.ts";

export interface ControllerConfig {
  readonly podName: string;
  /** Its Lease goes with it. "" outside of pods. */
  readonly podUid: string;
  readonly namespace: string;
  /** Path; "" inside a pod. */
  readonly kubeconfig: string;
  readonly logLevel: LogLevel;
  readonly ports: { readonly grpc: number; readonly metrics: number; readonly debug: number };
  /** DNS names in the server's certificate. */
  readonly serverNames: readonly string[];
  readonly clusterIds: readonly string[];
  /** Where the mesh's ConfigMap is silent. */
  readonly meshDefaults: MeshConfig;
  readonly audiences: readonly string[];
  readonly nodeCheck: Omit<NodeCheckPolicy, "trustDomain">;
  readonly issue: IssuePolicy;
  readonly debounce: DebounceOptions;
  readonly waypoints: {
    readonly image: string;
    /** Where waypoints find this controller. */
    readonly controllerAddress: string;
    readonly times: BindingTimes;
  };
  readonly newStreamsPerSecond: number;
  readonly maxBytesInFlight: number;
}

export function parseConfig(env: EnvReader): Parsed<ControllerConfig> {
  const namespace = env.string("POD_NAMESPACE", {
    default: SYSTEM_NAMESPACE,
    help: "namespace of the controller, system namespace of the mesh",
  });
  const cluster = env.string("CLUSTER_ID", { default: DEFAULT_CLUSTER_ID, help: "name of this cluster" });
  const value: ControllerConfig = {
    podName: env.string("POD_NAME", {
      default: "ambit-controller",
      help: "name of this pod; identity in leases",
    }),
    podUid: env.string("POD_UID", { default: "", help: "uid of this pod, which owns its lease" }),
    namespace,
    kubeconfig: env.string("KUBECONFIG", { default: "", help: "path of a kubeconfig; empty inside a pod" }),
    logLevel: readLogLevel(env),
    ports: {
      grpc: env.port("AMBIT_GRPC_PORT", { default: XDS_PORT, help: "xDS and CA over TLS" }),
      metrics: env.port("AMBIT_METRICS_PORT", {
        default: CONTROLLER_METRICS_PORT,
        help: "metrics and readiness",
      }),
      debug: env.port("AMBIT_DEBUG_PORT", { default: 8_080, help: "debug endpoint on loopback" }),
    },
    serverNames: [
      ...serviceNames(namespace),
      ...env.list("AMBIT_SERVER_NAMES", {
        default: [],
        help: "further DNS names in the server's certificate, separated by commas",
      }),
    ],
    clusterIds: [
      cluster,
      ...env.list("CLUSTER_ALIASES", { default: [], help: "other names of this cluster" }),
    ],
    meshDefaults: readMeshDefaults(env, namespace, cluster),
    audiences: env.list("TOKEN_AUDIENCES", {
      default: [TOKEN_AUDIENCE],
      help: "accepted audiences of tokens",
    }),
    nodeCheck: readNodeCheck(env, namespace),
    issue: readIssue(env),
    debounce: readDebounce(env),
    waypoints: readWaypoints(env, namespace),
    newStreamsPerSecond: env.integer("PILOT_MAX_REQUESTS_PER_SECOND", {
      default: 200,
      min: 1,
      help: "new xDS streams per second that are read; others wait",
    }),
    maxBytesInFlight: env.integer("AMBIT_MAX_BYTES_IN_FLIGHT", {
      default: 256 * 1_048_576,
      min: 1_048_576,
      help: "bytes of unacknowledged responses to all clients together",
    }),
  };
  return env.collect(value);
}

function serviceNames(namespace: string): readonly string[] {
  return ["istiod", "ambit-controller"].flatMap((service) => [
    `${service}.${namespace}.svc`,
    `${service}.${namespace}.svc.cluster.local`,
    `${service}.${namespace}`,
  ]);
}

function readLogLevel(env: EnvReader): LogLevel {
  const levels: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error", "silent"];
  const text = env.string("AMBIT_LOG_LEVEL", {
    default: "info",
    help: "trace, debug, info, warn, error or silent",
  });
  return levels.find((level) => level === text) ?? "info";
}

function readMeshDefaults(env: EnvReader, namespace: string, clusterId: string): MeshConfig {
  return {
    trustDomain: env.string("TRUST_DOMAIN", {
      default: DEFAULT_TRUST_DOMAIN,
      help: "unless the ConfigMap says",
    }),
    trustDomainAliases: [],
    rootNamespace: namespace,
    clusterId,
    network: env.string("NETWORK", {
      default: "",
      help: "name of the flat network; empty is the default one",
    }),
    dnsDomain: env.string("DNS_DOMAIN", { default: "cluster.local", help: "domain of service host names" }),
    pathNormalization: "base",
    dryRunPolicies: env.boolean("AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY", {
      default: false,
      help: "send policies that are marked istio.io/dry-run",
    }),
  };
}

function readNodeCheck(env: EnvReader, namespace: string): ControllerConfig["nodeCheck"] {
  const own = ["ztunnel", "istio-cni", "ambit-controller", "istiod"].map((name) => `${namespace}/${name}`);
  return {
    trustedNodeAccounts: env.list("CA_TRUSTED_NODE_ACCOUNTS", {
      default: [`${namespace}/ztunnel`],
      help: "namespace/account of ztunnels, which may ask for their pods' identities",
    }),
    reservedAccounts: env.list("AMBIT_RESERVED_ACCOUNTS", {
      default: own,
      help: "namespace/account of the mesh itself: no certificate is issued for them",
    }),
    enrolment: {
      systemNamespace: namespace,
      excludedNamespaces: env.list("EXCLUDE_NAMESPACES", {
        default: ["kube-system"],
        help: "namespaces whose pods are never enrolled; the same as the node agent's",
      }),
    },
  };
}

function readIssue(env: EnvReader): IssuePolicy {
  const day = 24 * 3_600_000;
  return {
    defaultTtlMs: env.durationMs("DEFAULT_WORKLOAD_CERT_TTL", { default: day, help: "life of certificates" }),
    maxTtlMs: env.durationMs("MAX_WORKLOAD_CERT_TTL", {
      default: day,
      help: "longest life that may be asked for",
    }),
  };
}

/** Ztunnels reset what is left of older direct connections 5 s after they were told of a waypoint. */
const DRAIN_MS = 5_500;
const MISSING_ZTUNNEL_MS = 10_000;

function readWaypoints(env: EnvReader, namespace: string): ControllerConfig["waypoints"] {
  return {
    image: env.string("WAYPOINT_IMAGE", { default: "ambit/waypoint", help: "image of waypoints" }),
    controllerAddress: env.string("AMBIT_WAYPOINT_CONTROLLER", {
      default: `https://istiod.${namespace}.svc:${XDS_PORT}`,
      help: "where waypoints find their configuration and their CA, https://host:port",
    }),
    times: {
      drainMs: env.durationMs("AMBIT_WAYPOINT_DRAIN", {
        default: DRAIN_MS,
        help: "time for older direct connections to end before only the waypoint is let through; more than ztunnels' 5s",
      }),
      missingMs: MISSING_ZTUNNEL_MS,
      graceMs: env.durationMs("AMBIT_WAYPOINT_GRACE", {
        default: 30_000,
        help: "how long a waypoint stays that no policy needs any more",
      }),
    },
  };
}

/** Naming any of Istio's three variables asks for Istio's rule. */
function readDebounce(env: EnvReader): DebounceOptions {
  const after = env.string("PILOT_DEBOUNCE_AFTER", { default: "", help: "quiet time before a push (100ms)" });
  const max = env.string("PILOT_DEBOUNCE_MAX", { default: "", help: "longest delay of a push (10s)" });
  const endpoints = env.string("PILOT_ENABLE_EDS_DEBOUNCE", { default: "", help: "endpoints too (true)" });
  const isIstio = [after, max, endpoints].some((text) => text !== "");
  return {
    rule: isIstio ? "istio" : "windows",
    afterMs: env.durationMs("PILOT_DEBOUNCE_AFTER", { default: 100, help: "a duration such as 100ms" }),
    maxMs: env.durationMs("PILOT_DEBOUNCE_MAX", { default: 10_000, help: "a duration such as 10s" }),
    debounceEndpoints: env.boolean("PILOT_ENABLE_EDS_DEBOUNCE", { default: true, help: "true or false" }),
  };
}
