/** The kubelet's configuration from its environment. */
import type { Parsed } from "#core/base/parse-result.ts";
import type { EnvReader } from "#core/runtime/env.ts";

export interface KubeletConfig {
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly nodeIp6: string;
  readonly podCidrs: readonly string[];
  /** Empty: pods come from files below `podFiles`. */
  readonly kubeconfig: string;
  readonly podFiles: string;
  readonly machineNetns: string;
  readonly sandboxRetryMs: number;
  readonly crashBackoffMs: number;
  readonly cniTimeoutMs: number;
  readonly logLevel: string;
}

export function readKubeletConfig(env: EnvReader): Parsed<KubeletConfig> {
  return env.collect({
    nodeName: env.string("NODE_NAME", { help: "name of the node" }),
    nodeIp: env.string("NODE_IP", { help: "IPv4 address of the node" }),
    nodeIp6: env.string("NODE_IP6", { help: "IPv6 address of the node" }),
    podCidrs: env.list("POD_CIDRS", { help: "address blocks of the node's pods" }),
    kubeconfig: env.string("KUBECONFIG", { default: "", help: "credentials for the API" }),
    podFiles: env.string("POD_FILES", {
      default: "",
      help: "directory of pod manifests, when there is no API",
    }),
    machineNetns: env.string("MACHINE_NETNS", {
      help: "network namespace of the machine (net:[inode]), in which no plugin may run",
    }),
    sandboxRetryMs: env.durationMs("SANDBOX_RETRY", {
      default: 12_000,
      help: "wait after a failed pod sandbox",
    }),
    crashBackoffMs: env.durationMs("CRASH_BACKOFF", {
      default: 10_000,
      help: "first wait of CrashLoopBackOff",
    }),
    cniTimeoutMs: env.durationMs("CNI_TIMEOUT", { default: 120_000, help: "longest run of one CNI plugin" }),
    logLevel: env.string("LOG_LEVEL", { default: "info", help: "trace, debug, info, warn or error" }),
  });
}
