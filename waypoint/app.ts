/** Composition root: every long-lived object of a waypoint is made and wired here, and nowhere else. */
import { systemClock } from "#core/base/clock.ts";
import { createWatchValue } from "#core/base/watch-value.ts";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import { CertificateManager } from "#core/identity/cert-manager.ts";
import { certificateIssuer } from "#core/identity/certificate-issuer.ts";
import { TYPE_URL_WAYPOINT } from "#core/model/waypoint.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";
import { type SpiffeId, spiffeId } from "#core/model/spiffe-id.ts";
import { StopStack } from "#core/runtime/lifecycle.ts";
import type { LogControl, Logger } from "#core/runtime/log.ts";
import { listenAll } from "#core/runtime/operator-endpoints.ts";
import { registerProcessMetrics } from "#core/runtime/process-metrics.ts";
import { createReadiness, type Readiness } from "#core/runtime/readiness.ts";
import type { Daemon } from "#core/runtime/run-main.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { dumpMesh } from "#core/state/config-dump.ts";
import { dumpCertificates } from "#core/state/dump-certificates.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { Registry } from "prom-client";
import type { WaypointSettings } from "./config.ts";
import { configName, xdsClient } from "./sources/xds-source.ts";
import type { WaypointState } from "./state/apply-waypoint-update.ts";
import { followOwnCertificate } from "./state/own-certificate.ts";
import type { WaypointDeps, WaypointOptions, WaypointServer } from "./waypoint-deps.ts";

const STOP_DEADLINE_MS = 5_000;

/** Ports in use, for whoever asked for any free one. */
export interface Waypoint extends Daemon {
  readonly ports: {
    readonly hbone: number;
    readonly admin: number;
    readonly metrics: number;
    readonly readiness: number;
  };
}

interface Parts {
  readonly settings: WaypointSettings;
  readonly log: Logger;
  readonly identity: SpiffeId;
  readonly state: WaypointState;
  readonly certificates: CertificateManager;
  readonly readiness: Readiness;
  readonly registry: Registry;
  readonly controller: AbortController;
}

/** `serve` is the proxy itself. */
export async function startWaypoint(
  settings: WaypointSettings,
  control: LogControl,
  serve: (deps: WaypointDeps) => Promise<WaypointServer>,
): Promise<Waypoint> {
  const parts = await makeParts(settings, control);
  const { log, controller, readiness, registry } = parts;
  const stops = new StopStack(log);
  const { promise: finished, resolve: quit } = Promise.withResolvers<void>();
  // One that has expired is as good as none, however it came to that: nobody would believe us.
  readiness.condition("certificate", () => parts.certificates.current(parts.identity) !== undefined);
  const setConfigured = readiness.gate("configuration");
  const dump = (): object => dumpAll(parts);
  const ports = settings;
  const endpoints = await listenAll({
    component: "waypoint",
    ports,
    control,
    readiness,
    registry,
    dump,
    quit,
  });
  for (const endpoint of endpoints) stops.push("endpoint", () => endpoint.close());
  stops.push("control plane", () => controller.abort());
  parts.certificates.start(controller.signal);
  const certificate = followOwnCertificate(parts);
  const server = await serve({
    options: optionsOf(settings, parts.identity),
    mesh: parts.state.mesh,
    config: parts.state.config,
    certificate,
    backend: chooseBackend({ log, ...(settings.handles === "" ? {} : { wanted: settings.handles }) }),
    metrics: registry,
    clock: systemClock,
    log: log.child("proxy"),
    random: Math.random,
  });
  stops.push("proxy", () => server.close("the waypoint ends"));
  spawn(log, "configuration", () => receiveState(parts, setConfigured));
  const [admin = 0, metrics = 0, ready = 0] = endpoints.map((endpoint) => endpoint.port);
  log.info(
    {
      waypoint: configName(settings),
      identity: parts.identity,
      port: server.port,
      admin,
      stats: metrics,
      ready,
    },
    "waypoint started",
  );
  return {
    ports: { hbone: server.port, admin, metrics, readiness: ready },
    finished,
    stop: () => stop(parts, server, stops),
  };
}

/** No new callers; those that are here may finish until the deadline; then everything ends. */
async function stop(
  { settings, log, readiness }: Parts,
  server: WaypointServer,
  stops: StopStack,
): Promise<void> {
  readiness.gate("draining");
  const over = new AbortController();
  const outcome = await Promise.race([
    server.drain().then(() => "drained" as const),
    systemClock.sleep(settings.drainDeadlineMs, over.signal).then(
      () => "deadline" as const,
      () => "drained" as const,
    ),
  ]);
  over.abort();
  log.info({ outcome }, "drain ended");
  await stops.stopAll(STOP_DEADLINE_MS);
}

async function makeParts(settings: WaypointSettings, control: LogControl): Promise<Parts> {
  const log = control.root;
  const [trustDomain = ""] = settings.trustDomains;
  const issuer = await certificateIssuer({ ...settings, trustDomain, asks: "for-itself" }, log);
  const registry = new Registry();
  registerProcessMetrics(registry, "waypoint", settings.version);
  return {
    settings,
    log,
    identity: spiffeId({
      trustDomain,
      namespace: settings.podNamespace,
      serviceAccount: settings.serviceAccount,
    }),
    state: { mesh: new MeshState(), config: createWatchValue<WaypointConfig | undefined>(undefined) },
    certificates: new CertificateManager({ issuer, clock: systemClock, log: log.child("certificates") }),
    readiness: createReadiness(),
    registry,
    controller: new AbortController(),
  };
}

/** Open while there is a configuration, from the moment on at which all addresses are there too. */
async function receiveState(parts: Parts, setReady: (ready: boolean) => void): Promise<void> {
  const { settings, state, log, controller } = parts;
  const { signal } = controller;
  const client = xdsClient(settings, { state, clock: systemClock, log });
  spawn(log, "xds", () => client.run(signal));
  log.info({ address: settings.xdsAddress, name: configName(settings) }, "waiting for the configuration");
  await Promise.all([client.ready(signal), client.demand(TYPE_URL_WAYPOINT, configName(settings), signal)]);
  const show = (config: WaypointConfig | undefined): void => {
    setReady(config !== undefined);
    log.info(
      {
        services: config?.services.length ?? 0,
        workloads: config?.workloads.length ?? 0,
        policies: config?.policies.length ?? 0,
      },
      config === undefined ? "no configuration: nothing is bound" : "configuration in force",
    );
  };
  show(state.config.get());
  state.config.subscribe(show);
}

function optionsOf(settings: WaypointSettings, identity: SpiffeId): WaypointOptions {
  const { podNamespace, gateway, network, clusterId, node, trustDomains, hbonePort, connectTimeoutMs } =
    settings;
  return {
    namespace: podNamespace,
    gateway,
    identity,
    network,
    clusterId,
    node,
    trustDomains,
    port: hbonePort,
    connectTimeoutMs,
  };
}

function dumpAll({ settings, state, certificates }: Parts): object {
  return {
    ...dumpMesh(state.mesh),
    waypoint: state.config.get() ?? null,
    certificates: dumpCertificates(certificates.list()),
    version: { version: settings.version, istioVersion: settings.version, buildStatus: "ambit" },
    config: { ...settings, trustDomains: [...settings.trustDomains] },
  };
}
