/** The kubelet of one node: runs inside the node's namespaces and in its own control group, which is how probes are known. */
import { mkdirSync, readlinkSync } from "node:fs";
import { arch, cpus, release, totalmem } from "node:os";
import { systemClock } from "#core/base/clock.ts";
import { describeProblems } from "#core/base/parse-result.ts";
import { loadKubeClient } from "#core/k8s/load-config.ts";
import { EnvReader } from "#core/runtime/env.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { createLog, type Logger, type LogLevel } from "#core/runtime/log.ts";
import { type Daemon, runMain } from "#core/runtime/run-main.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { hostLayout } from "../host-layout.ts";
import { DNS_ENDPOINTS, DNS_VIPS } from "../network/addresses.ts";
import { startDnsServer } from "../network/dns-server.ts";
import { ServiceProxy } from "../network/service-proxy.ts";
import { ApiAccess } from "./api-access.ts";
import { CniRuntime } from "./cni/cni-runtime.ts";
import { type KubeletConfig, readKubeletConfig } from "./config.ts";
import { FileAccess } from "./file-access.ts";
import { startKubeletServer } from "./kubelet-server.ts";
import { removeLeftovers } from "./node-cleanup.ts";
import type { NodeContext } from "./node-context.ts";
import { keepNodeRegistered } from "./node-registration.ts";
import { PodManager } from "./pod-manager.ts";
import type { ClusterAccess } from "./cluster-access.ts";

const KUBELET_DIRECTORY = "/var/lib/kubelet";
const CNI_STATE_DIRECTORY = "/run/cni";
const CNI_CONF_DIRECTORY = "/etc/cni/net.d";

// A node agent knows the kubelet by this name, as it would a real one.
process.title = "kubelet";
const config = readKubeletConfig(new EnvReader());
const level = config.ok ? (config.value.logLevel as LogLevel) : "info";
const log = createLog("kubelet", { level }).root;
process.title = "kubelet"; // the name by which node agents find it
await runMain(log, () => {
  if (!config.ok) throw new AmbitError("KUBELET_CONFIG", describeProblems(config.problems));
  return startKubelet(config.value, log);
});

/** Refuses to go on in the machine's own network namespace: a plugin there would change the machine. */
function assertNodeNamespace(settings: KubeletConfig): void {
  if (readlinkSync("/proc/self/ns/net") !== settings.machineNetns) return;
  throw new AmbitError(
    "WRONG_NETNS",
    "the kubelet is in the machine's own network namespace; no CNI plugin is run here",
  );
}

async function startKubelet(settings: KubeletConfig, logger: Logger): Promise<Daemon> {
  assertNodeNamespace(settings);
  const stop = new AbortController();
  const access =
    settings.kubeconfig === ""
      ? new FileAccess(settings.podFiles, systemClock, logger)
      : connect(settings, logger, stop.signal);
  const context = nodeContext(settings, access, logger);
  const left = await removeLeftovers(context, CNI_STATE_DIRECTORY);
  if (left > 0) logger.warn({ sandboxes: left }, "removed what an earlier kubelet left");
  for (const directory of [context.podRoot, context.logRoot]) mkdirSync(directory, { recursive: true });
  const pods = new PodManager(context);
  const server = await startKubeletServer({
    context,
    pods,
    socketPath: `${KUBELET_DIRECTORY}/kubelet.sock`,
    log: logger,
  });
  pods.start(stop.signal);
  logger.info({ node: settings.nodeName }, "kubelet running");
  return {
    stop: () => {
      stop.abort();
      server.close();
      server.closeAllConnections();
      return Promise.resolve();
    },
  };
}

/** Node object, lease, services and DNS: everything that needs the API beside the pods. */
function connect(settings: KubeletConfig, logger: Logger, signal: AbortSignal): ClusterAccess {
  const client = loadKubeClient(settings.kubeconfig);
  const proxy = new ServiceProxy({ client, clock: systemClock, log: logger.child("service-proxy") });
  proxy.start();
  spawn(logger, "dns", async () => {
    const dns = await startDnsServer({
      addresses: [...DNS_VIPS, ...DNS_ENDPOINTS],
      port: 53,
      zone: () => proxy.zone(),
      log: logger.child("dns"),
    });
    signal.addEventListener("abort", () => dns.close(), { once: true });
  });
  const facts = {
    name: settings.nodeName,
    ip: settings.nodeIp,
    ip6: settings.nodeIp6,
    podCidrs: settings.podCidrs,
    cniConfDirectory: CNI_CONF_DIRECTORY,
    memoryBytes: totalmem(),
    cpus: cpus().length,
    arch: arch() === "x64" ? "amd64" : arch(),
    kernel: release(),
  };
  spawn(logger, "node registration", () =>
    keepNodeRegistered(facts, { client, clock: systemClock, log: logger.child("node") }, signal),
  );
  signal.addEventListener("abort", () => proxy.stop(), { once: true });
  return new ApiAccess({ client, nodeName: settings.nodeName, clock: systemClock, log: logger });
}

function nodeContext(settings: KubeletConfig, access: ClusterAccess, logger: Logger): NodeContext {
  return {
    nodeName: settings.nodeName,
    nodeIp: settings.nodeIp,
    nodeIp6: settings.nodeIp6,
    host: hostLayout(),
    launcher: "/opt/ambit/bin/ambit-run",
    access,
    cni: new CniRuntime({
      pluginDirectories: ["/opt/cni/bin", "/usr/lib/cni"],
      cacheDirectory: `${CNI_STATE_DIRECTORY}/results`,
      timeoutMs: settings.cniTimeoutMs,
      assertNamespace: () => assertNodeNamespace(settings),
    }),
    cniConfDirectory: CNI_CONF_DIRECTORY,
    podRoot: `${KUBELET_DIRECTORY}/pods`,
    logRoot: "/var/log/pods",
    netnsDirectory: "/run/netns",
    dnsServers: DNS_VIPS.slice(0, 1),
    sandboxRetryMs: settings.sandboxRetryMs,
    crashBackoffMs: settings.crashBackoffMs,
    clock: systemClock,
    log: logger,
  };
}
