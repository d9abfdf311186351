/** Composition root: every long-lived object of ztunnel is made and wired here, and nowhere else. */
import { systemClock } from "#core/base/clock.ts";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import { CertificateManager } from "#core/identity/cert-manager.ts";
import { certificateIssuer } from "#core/identity/certificate-issuer.ts";
import { StopStack } from "#core/runtime/lifecycle.ts";
import type { LogControl, Logger } from "#core/runtime/log.ts";
import { listenAll } from "#core/runtime/operator-endpoints.ts";
import { registerProcessMetrics } from "#core/runtime/process-metrics.ts";
import { openFileLimit } from "#core/runtime/open-file-limit.ts";
import { createReadiness } from "#core/runtime/readiness.ts";
import type { Daemon } from "#core/runtime/run-main.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { dumpMesh } from "#core/state/config-dump.ts";
import { dumpCertificates } from "#core/state/dump-certificates.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import type { JsonObject } from "#core/wire/json-value.ts";
import { Registry } from "prom-client";
import type { ZtunnelConfig } from "./config.ts";
import { dumpPods } from "./inpod/dump-pods.ts";
import { IdentityKeeper } from "./inpod/identity-keeper.ts";
import { netnsPodSockets } from "./inpod/netns-socket-factory.ts";
import { registerPodMetrics } from "./inpod/pod-metrics.ts";
import { PodManager } from "./inpod/pod-manager.ts";
import { runZdsClient } from "./inpod/zds-client.ts";
import { ConnectionLog } from "./proxy/connection-log.ts";
import { ConnectionRegistry } from "./proxy/connection-registry.ts";
import { ProxyMetrics } from "./proxy/metrics.ts";
import { WaitingRoom } from "./proxy/waiting-room.ts";
import { PodProxy } from "./proxy/pod-proxy.ts";
import type { LocalPods, ProxyDeps, ProxyOptions } from "./proxy/proxy-deps.ts";

const STOP_DEADLINE_MS = 5_000;

/** Parts that several functions below need. */
interface Parts {
  readonly config: ZtunnelConfig;
  readonly control: LogControl;
  readonly log: Logger;
  readonly state: MeshState;
  readonly certificates: CertificateManager;
  readonly metrics: ProxyMetrics;
  readonly registry: ConnectionRegistry;
  readonly waypointRoom: WaitingRoom;
  readonly controller: AbortController;
}

export async function startZtunnel(config: ZtunnelConfig, control: LogControl): Promise<Daemon> {
  const parts = await makeParts(config, control);
  const { log, controller } = parts;
  const stops = new StopStack(log);
  const readiness = createReadiness();
  const setStateReady = readiness.gate("state manager");
  readiness.condition("certificates", () => !parts.certificates.hasLapsed);
  const pods = makePodManager(parts, readiness.gate("workload proxy manager"));
  const { promise: finished, resolve: quit } = Promise.withResolvers<void>();
  const metricsRegistry = makeMetricsRegistry(parts, pods);
  const dump = (): JsonObject => dumpAll(parts, pods);
  const endpoints = await listenAll({
    component: "ztunnel",
    ports: config,
    control,
    readiness,
    registry: metricsRegistry,
    dump,
    quit,
  });
  for (const endpoint of endpoints) stops.push("endpoint", () => endpoint.close());
  stops.push("control plane", () => controller.abort());
  stops.push("pods", () => pods.stop("ztunnel ends"));
  parts.certificates.start(controller.signal);
  if (config.localStatePath !== "") {
    const { followStateFile } = await import("./sources/file-source.ts");
    followStateFile(config.localStatePath, parts.state, log.child("state"), controller.signal);
  }
  spawn(log, "node-agent", async () => {
    if (config.localStatePath === "") await receiveState(parts);
    setStateReady(true);
    const deps = { target: pods, clock: systemClock, log: log.child("zds") };
    await runZdsClient(deps, config.inpodUds, controller.signal);
  });
  const [admin, stats, ready] = endpoints.map((endpoint) => endpoint.port);
  log.info({ node: config.node, cluster: config.clusterId, admin, stats, ready }, "ztunnel started");
  return { finished, stop: () => stop(parts, pods, stops) };
}

/** Connections may finish until the deadline; then everything ends. */
async function stop({ config, log }: Parts, pods: PodManager, stops: StopStack): Promise<void> {
  const timeout = systemClock.sleep(config.drainDeadlineMs).then(() => "deadline" as const);
  const outcome = await Promise.race([pods.drain().then(() => "drained" as const), timeout]);
  log.info({ outcome }, "drain ended");
  await stops.stopAll(STOP_DEADLINE_MS);
}

async function makeParts(config: ZtunnelConfig, control: LogControl): Promise<Parts> {
  const log = control.root;
  const state = new MeshState();
  const [trustDomain = ""] = config.trustDomains;
  const issuer = await certificateIssuer({ ...config, trustDomain, asks: "for-pods-of-this-node" }, log);
  return {
    config,
    control,
    log,
    state,
    certificates: new CertificateManager({ issuer, clock: systemClock, log: log.child("certificates") }),
    metrics: new ProxyMetrics(),
    registry: new ConnectionRegistry({
      state,
      clock: systemClock,
      holdMs: config.policyHoldMs,
      network: config.network,
    }),
    waypointRoom: new WaitingRoom({ total: 2_048, perPod: 1_024 }),
    controller: new AbortController(),
  };
}

function makePodManager(parts: Parts, onReady: (ready: boolean) => void): PodManager {
  const { config, log, state, certificates, metrics, registry, waypointRoom, controller } = parts;
  const backend = chooseBackend({ log, ...(config.handles === "" ? {} : { wanted: config.handles }) });
  log.info({ backend: backend.name }, "socket backend chosen");
  const pods: LocalPods = { byWorkload: (workload) => manager.byWorkload(workload) };
  const deps: ProxyDeps = {
    options: proxyOptions(config),
    state,
    certificates,
    backend,
    registry,
    waypointRoom,
    connectionLog: new ConnectionLog({
      log: log.child("access"),
      metrics,
      monotonicMs: systemClock.monotonicMs,
    }),
    metrics,
    pods,
    clock: systemClock,
    log: log.child("proxy"),
    random: Math.random,
  };
  const manager: PodManager = new PodManager({
    clock: systemClock,
    log: log.child("pods"),
    makeSockets: (netns) => netnsPodSockets(backend, netns),
    makeProxy: (pod, sockets) => new PodProxy(deps, pod, sockets),
    onReady: (ready) => {
      keeper.refresh();
      onReady(ready);
    },
  });
  const keeper = new IdentityKeeper(
    {
      state,
      certificates,
      log: log.child("certificates"),
      node: config.node,
      pods: () => manager.list().map(({ pod }) => pod),
    },
    controller.signal,
  );
  return manager;
}

function proxyOptions(config: ZtunnelConfig): ProxyOptions {
  const { node, network, trustDomains, shortCircuit } = config;
  const { workloadWaitMs, certificateWaitMs, policyHoldMs, waypointWaitMs, connectTimeoutMs } = config;
  return {
    node,
    network,
    trustDomains,
    shortCircuit,
    workloadWaitMs,
    certificateWaitMs,
    policyHoldMs,
    waypointWaitMs,
    connectTimeoutMs,
    tunnelTimeoutMs: 2 * connectTimeoutMs,
    handshakes: { perPod: 512, perSource: 64 },
    maxConnections: maxConnections(),
  };
}

/** Resolves when every kind of resource was acknowledged once. */
async function receiveState({ config, state, log, controller }: Parts): Promise<void> {
  const { xdsClient } = await import("./sources/xds-source.ts");
  const client = xdsClient(config, { state, clock: systemClock, log });
  spawn(log, "xds", () => client.run(controller.signal));
  log.info({ address: config.xdsAddress }, "waiting for the first configuration");
  await client.ready(controller.signal);
  log.info({ workloads: state.workloads.size, policies: state.policies.size }, "configuration received");
}

function makeMetricsRegistry({ metrics, config, waypointRoom }: Parts, pods: PodManager): Registry {
  const registry = new Registry();
  metrics.register(registry);
  registerProcessMetrics(registry, "ztunnel", config.version);
  registerPodMetrics(
    registry,
    () => pods.counts(),
    () => waypointRoom.size,
  );
  return registry;
}

function dumpAll({ config, state, certificates, registry }: Parts, pods: PodManager): JsonObject {
  return {
    ...dumpMesh(state),
    certificates: dumpCertificates(certificates.list()),
    workloadState: dumpPods(pods.list(), (pod) => registry.ofPod(pod)),
    staticConfig: {},
    version: { version: config.version, istioVersion: config.version, buildStatus: "ambit" },
    config: { ...config, trustDomains: [...config.trustDomains] },
  };
}

/** Each connection takes up to two descriptors; a tenth is kept for everything else. */
function maxConnections(): number {
  return Math.floor(openFileLimit() * 0.45);
}
