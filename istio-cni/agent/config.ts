/** Configuration of the node agent: environment variables, read once, every problem reported together. */
import type { Parsed } from "#core/base/parse-result.ts";
import { AGENT_ADMIN_PORT, SYSTEM_NAMESPACE } from "#core/model/well-known.ts";
import type { LogLevel } from "#core/runtime/log.ts";
import type { EnvReader } from "#core/runtime/env.ts";
import { DEFAULT_AGENT_SOCKET } from "../plugin/protocol.ts";

export interface AgentConfig {
  readonly nodeName: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly excludedNamespaces: readonly string[];
  readonly rootNamespace: string;
  readonly cniBinDir: string;
  readonly cniConfDir: string;
  readonly agentSocket: string;
  readonly ztunnelSocket: string;
  readonly bpffsDir: string;
  readonly kubeconfig: string;
  /** Directory in cgroup v2; empty: look for the kubelet. */
  readonly kubeletCgroup: string;
  readonly attachment: "auto" | "tcx" | "clsact";
  /** Milliseconds that captured connections may take to end when a pod leaves the mesh. */
  readonly drainMs: number;
  /** Milliseconds that connections wait for a ztunnel to come back before they are refused. */
  readonly holdMs: number;
  readonly adminPort: number;
  readonly healthPort: number;
  readonly metricsPort: number;
  readonly logLevel: LogLevel;
}

export function parseAgentConfig(env: EnvReader): Parsed<AgentConfig> {
  return env.collect({
    nodeName: env.string("NODE_NAME", { help: "the node whose pods this agent serves" }),
    podName: env.string("POD_NAME", { help: "this pod" }),
    podNamespace: env.string("POD_NAMESPACE", { default: SYSTEM_NAMESPACE, help: "this pod's namespace" }),
    excludedNamespaces: env.list("EXCLUDE_NAMESPACES", { default: ["kube-system"], help: "never enrolled" }),
    rootNamespace: env.string("ROOT_NAMESPACE", {
      default: SYSTEM_NAMESPACE,
      help: "mesh-wide policies live here",
    }),
    cniBinDir: env.string("CNI_BIN_DIR", {
      default: "/opt/cni/bin",
      help: "where the runtime looks for plugins",
    }),
    cniConfDir: env.string("CNI_CONF_DIR", {
      default: "/etc/cni/net.d",
      help: "the runtime's network configuration",
    }),
    agentSocket: env.string("CNI_AGENT_SOCKET", {
      default: DEFAULT_AGENT_SOCKET,
      help: "where the plugin asks",
    }),
    ztunnelSocket: env.string("ZTUNNEL_UDS_ADDRESS", {
      default: "/var/run/ztunnel/ztunnel.sock",
      help: "where ztunnel connects",
    }),
    bpffsDir: env.string("BPFFS_DIR", { default: "/sys/fs/bpf", help: "mounted bpffs of the node" }),
    kubeconfig: env.string("KUBECONFIG", { default: "", help: "empty: the pod's service account" }),
    kubeletCgroup: env.string("KUBELET_CGROUP", { default: "", help: "cgroup v2 directory of the kubelet" }),
    attachment: env.choice("AMBIT_CAPTURE", {
      default: "auto",
      choices: ["auto", "tcx", "clsact"],
      help: "auto, tcx or clsact",
    }),
    drainMs: env.durationMs("UNENROL_DRAIN", {
      default: 60_000,
      help: "time for captured connections to end",
    }),
    holdMs: env.durationMs("ZTUNNEL_HOLD", {
      default: 30_000,
      help: "connections wait this long for a ztunnel",
    }),
    adminPort: env.port("AMBIT_AGENT_ADMIN_PORT", {
      default: AGENT_ADMIN_PORT,
      help: "loopback: connections older than enrolment",
    }),
    healthPort: env.port("AMBIT_AGENT_HEALTH_PORT", { default: 8_000, help: "healthz and readyz" }),
    metricsPort: env.port("AMBIT_AGENT_METRICS_PORT", { default: 15_014, help: "Prometheus metrics" }),
    logLevel: env.choice<LogLevel>("LOG_LEVEL", {
      default: "info",
      choices: ["trace", "debug", "info", "warn", "error"],
      help: "trace, debug, info, warn or error",
    }),
  });
}
