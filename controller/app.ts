/** Composition root: every long-lived object of the controller is made here. */
import { type Clock, systemClock } from "#core/base/clock.ts";
import { LeaderElection } from "#core/k8s/lease.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { StopStack } from "#core/runtime/lifecycle.ts";
import type { Logger } from "#core/runtime/log.ts";
import { createReadiness, type Readiness } from "#core/runtime/readiness.ts";
import type { Daemon } from "#core/runtime/run-main.ts";
import { makeCallerChecks } from "./caller-checks.ts";
import type { ControllerConfig } from "./config.ts";
import { openEndpoints } from "./admin/endpoints.ts";
import { controllerGauges } from "./gauges.ts";
import { MeshGraph } from "./mesh-graph.ts";
import { createMetrics } from "./metrics.ts";
import { logProblems } from "./problem-log.ts";
import { Admission } from "./push/admission.ts";
import { DeltaServer } from "./push/delta-server.ts";
import { RootDistribution } from "./ca/root-distribution.ts";
import { RootStore } from "./ca/root-store.ts";
import { clientRefusal, controllerReplicas } from "./replica-control.ts";
import type { Replicas } from "./replicas/replicas.ts";
import { startSecureServer } from "./secure-server.ts";
import { KubeSource } from "./source/kube-source.ts";
import { Refusals } from "./status/refusals.ts";
import { StatusWriter } from "./status/status-writer.ts";
import { WaypointBoundWriter } from "./status/waypoint-bound-writer.ts";
import { WriteQueue } from "./status/write-queue.ts";
import { EnforcementStatus } from "./status/enforcement-status.ts";
import { GatewayClassWriter } from "./status/gateway-class-status.ts";
import { GatewayStatusWriter } from "./status/gateway-status-writer.ts";
import { outsiderCensus, waypointPodsOf, waypointReconciler } from "./waypoints/loop/waypoint-control.ts";
import type { WaypointReconciler } from "./waypoints/loop/waypoint-reconciler.ts";

export interface Controller extends Daemon {
  /** Ports in use; `grpc` is 0 until a CA has been loaded. */
  readonly ports: () => { readonly grpc: number; readonly metrics: number; readonly debug: number };
  readonly readiness: Readiness;
}

export interface ControllerDeps {
  readonly client: KubeClient;
  readonly log: Logger;
  readonly clock?: Clock;
}

const LEASE_NAME = "ambit-controller-leader";
const SWEEP_MS = 1_000;
const STOP_DEADLINE_MS = 15_000;

/** Starts everything and returns; becomes ready when inputs and CA are there. */
export async function startController(config: ControllerConfig, deps: ControllerDeps): Promise<Controller> {
  const { client, log } = deps;
  const clock = deps.clock ?? systemClock;
  const stops = new StopStack(log);
  const readiness = createReadiness();
  const gates = {
    replicas: readiness.gate("replicas"),
    inputs: readiness.gate("inputs"),
    ca: readiness.gate("ca"),
  };
  const parts = build(config, { client, log, clock });
  stops.push("kubernetes client", () => client.close());
  stops.push("graph", () => parts.graph.stop());
  stops.push("waypoints", () => parts.waypoints.stop());
  stops.push("informers", () => parts.source.stop());
  stops.push("writes", () => parts.queue.stop());
  stops.push("root distribution", () => parts.roots.stop());
  stops.push("root store", () => parts.store.stop());
  stops.push("replicas", () => parts.replicas.stop());
  stops.push("election", () => parts.election.stop());
  const secure = startSecureServer(parts, { config, log, clock, onReady: () => gates.ca(true) });
  stops.push("grpc", () => secure.stop());
  const endpoints = await openEndpoints(config, { parts, readiness, clock });
  stops.push("endpoints", () => endpoints.close());
  parts.onPublished(() => gates.inputs(true));
  parts.store.start();
  parts.onServing(gates.replicas);
  parts.replicas.start();
  parts.election.start();
  const sweep = setInterval(() => {
    parts.replicas.check();
    parts.xds.sweep();
  }, SWEEP_MS);
  stops.push("sweep", () => clearInterval(sweep));
  return {
    readiness,
    ports: () => ({ ...endpoints.ports, grpc: secure.port() }),
    stop: async () => {
      gates.inputs(false);
      await parts.xds.drain();
      await stops.stopAll(STOP_DEADLINE_MS);
    },
  };
}

/** What the pieces of the controller have in common. */
export type ControllerParts = ReturnType<typeof build>;

// oxlint-disable-next-line max-lines-per-function -- a composition root is one list, and reads best as one
function build(config: ControllerConfig, deps: Required<ControllerDeps>) {
  const { client, log, clock } = deps;
  let published: () => void = () => undefined;
  let serving: (serves: boolean) => void = () => undefined;
  const progressed = (): void => {
    replicas.poke();
    waypoints.poke();
  };
  const admission = new Admission({
    maxBytesInFlight: config.maxBytesInFlight,
    newStreamsPerSecond: config.newStreamsPerSecond,
  });
  const graph: MeshGraph = new MeshGraph({
    meshDefaults: config.meshDefaults,
    enrolment: config.nodeCheck.enrolment,
    debounce: config.debounce,
    drainMs: config.waypoints.times.drainMs,
    clock,
    onIdle: progressed,
    isComplete: () => source.hasSynced(),
    onPublish: (ageMs) => {
      metrics.observeAge(ageMs);
      published();
      xds.push();
      replicas.poke();
    },
  });
  const source: KubeSource = new KubeSource(graph.sources, config.namespace, {
    client,
    clock,
    log: log.child("source"),
    onChange: () => graph.poke(),
  });
  const metrics = createMetrics(
    controllerGauges({
      graph,
      source,
      admission,
      clock,
      streams: () => xds.streams,
      isLeader: () => election.isLeader(),
    }),
  );
  const election: LeaderElection = new LeaderElection({
    client,
    clock,
    log: log.child("leader"),
    namespace: config.namespace,
    name: LEASE_NAME,
    identity: config.podName,
    onChange: (leader) => {
      store.refresh();
      if (leader) writeEverything();
      waypoints.poke();
    },
  });
  const queue = new WriteQueue({
    perSecond: 10,
    burst: 50,
    clock,
    log: log.child("writes"),
    mayWrite: () => election.isLeader(),
  });
  const store: RootStore = new RootStore({
    client,
    clock,
    log: log.child("ca"),
    namespace: config.namespace,
    trustDomain: () => graph.index.mesh().trustDomain,
    isLeader: () => election.isLeader() && graph.isPublished,
  });
  const refusals = new Refusals();
  const replicas: Replicas = controllerReplicas(config, {
    client,
    clock,
    log,
    graph,
    source,
    refusals,
    xds: () => xds,
    onChange: () => {
      for (const { name } of replicas.refused()) status.refused(name);
      waypoints.poke();
    },
    onServing: (serves) => serving(serves),
  });
  const pods = waypointPodsOf(graph);
  const census = outsiderCensus(config, { clock, log, graph, onResult: () => waypoints.poke() });
  const enforcement = new EnforcementStatus(graph.index, (gateway) => census.of(gateway));
  const waypoints: WaypointReconciler = waypointReconciler(config, {
    client,
    clock,
    log,
    graph,
    pods,
    replicas: () => replicas,
    isLeader: () => election.isLeader(),
    onView: (view) => {
      census.look([...graph.index.waypoints.gateways.values()].filter(({ automatic }) => automatic));
      if (!enforcement.changed(view)) return;
      status.enforcementChanged();
      gatewayStatus.write(view);
    },
  });
  logProblems(graph.index, log.child("translate"));
  const status = new StatusWriter({
    client,
    clock,
    queue,
    sources: graph.sources,
    policies: graph.index.policies,
    refusal: (name) => clientRefusal(graph.index.authorizations.get(name), refusals, replicas),
    enforcement: (policy) => enforcement.of(policy),
  });
  const gatewayStatus = new GatewayStatusWriter({ client, clock, queue, graph });
  const classStatus = new GatewayClassWriter({ client, clock, queue, classes: graph.sources.gatewayClasses });
  const bound = new WaypointBoundWriter({ client, clock, queue, services: graph.index.waypoints.services });
  const roots = new RootDistribution({
    client,
    clock,
    queue,
    sources: graph.sources,
    rootsPem: () => store.material.get()?.rootsPem,
  });
  const writeEverything = (): void => {
    status.writeAll();
    roots.writeAll();
    bound.writeAll();
    classStatus.writeAll();
  };
  store.material.subscribe(() => roots.writeAll());
  const checks = makeCallerChecks(config, {
    client,
    clock,
    log,
    graph,
    store,
    waypoints: pods,
    count: metrics.countCertificate,
  });
  const xds: DeltaServer = new DeltaServer({
    authenticator: checks.authenticator,
    published: graph.published,
    admission,
    clock,
    log: log.child("xds"),
    clients: {
      trustedNodeAccounts: config.nodeCheck.trustedNodeAccounts,
      waypoints: pods,
      pod: (namespace, name) => graph.sources.pods.get(`${namespace}/${name}`),
    },
    metrics: metrics.push,
    onRefused: (blamed, reason) => {
      for (const resource of blamed) refusals.note(resource, reason);
      for (const { name } of blamed) status.refused(name);
      replicas.poke();
    },
    onProgress: progressed,
    isReady: () => graph.isPublished,
    audience: () => replicas.audience(),
  });
  const onPublished = (listener: () => void): void => {
    published = () => {
      listener();
      store.refresh();
    };
  };
  const onServing = (listener: typeof serving): void => {
    serving = listener;
  };
  return {
    graph,
    source,
    metrics,
    election,
    queue,
    store,
    roots,
    xds,
    waypoints,
    replicas,
    ca: checks.ca,
    onPublished,
    onServing,
  };
}
