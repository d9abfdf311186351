/**
 * Wires the node agent. Order of start: capture -> cluster view -> pods of an earlier agent -> CNI socket -> ZDS ->
 * plugin installed; so that an installed plugin always finds an agent that can answer.
 */
import { readFileSync } from "node:fs";
import { systemClock } from "#core/base/clock.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { loadKubeClient } from "#core/k8s/load-config.ts";
import type { PodObject } from "#core/k8s/object-types.ts";
import { joinCgroupNamespace } from "#core/linux/cgroup.ts";
import { ANNOTATION_REDIRECTION } from "#core/model/well-known.ts";
import { StopStack } from "#core/runtime/lifecycle.ts";
import type { Logger } from "#core/runtime/log.ts";
import { createReadiness } from "#core/runtime/readiness.ts";
import type { Daemon } from "#core/runtime/run-main.ts";
import { spawn } from "#core/runtime/spawn.ts";
import type { DeviceEvent, NodeCapture } from "../capture/capture.ts";
import { keepInstalled, uninstallPlugin } from "../install/install-plugin.ts";
import { CaptureEvents } from "./capture-events.ts";
import { CniHandler } from "./cni-handler.ts";
import { serveCni } from "./cni-server.ts";
import { ClusterView } from "./cluster-view.ts";
import type { AgentConfig } from "./config.ts";
import { openEndpoints } from "./endpoints.ts";
import { addRequest, MeshDataplane } from "./mesh-dataplane.ts";
import { type FoundNetns, findPodNetns } from "./netns-finder.ts";
import { OlderConnections } from "./older-connections.ts";
import { judgeCniCaller, judgeZtunnel } from "./peer-judgement.ts";
import { findCgroupTree, kubepodsPrefix } from "./pod-cgroups.ts";
import { PodReconciler } from "./pod-reconciler.ts";
import { type PodRef, podRef, podText } from "./pod-ref.ts";
import { recoverPods } from "./recovery.ts";
import { RedirectionAnnotator } from "./redirection-annotation.ts";
import { RefusalCounts } from "./refusals.ts";
import { prepareCapture } from "./prepare-capture.ts";
import { removeFromNode } from "./removal.ts";
import { SkippedPods } from "./skipped-pods.ts";
import { whyStopping } from "./uninstall-check.ts";
import { Watchdog } from "./watchdog.ts";
import { ZdsServer } from "./zds-server.ts";

const ZTUNNEL_LABEL = ["app", "ztunnel"] as const;
const STOP_DEADLINE_MS = 5_000;
const STAYS_CAPTURED =
  "the API does not say whether the mesh is being removed: its pods stay captured and the plugin installed";

/** Resolves once the ports are open; readiness follows when the cluster is known and the plugin installed. */
export async function startAgent(config: AgentConfig, log: Logger): Promise<Daemon> {
  const agent = new Agent(config, log);
  await agent.openEndpoints();
  spawn(log, "start", () => agent.run());
  return { stop: () => agent.stop() };
}

/** Every long-lived object of the agent; nothing happens before `openEndpoints` and `run`. */
class Agent {
  readonly #config: AgentConfig;
  readonly #log: Logger;
  readonly #stops: StopStack;
  readonly #stopping = new AbortController();
  readonly #readiness = createReadiness();
  readonly #gates = {
    cluster: this.#readiness.gate("cluster view"),
    plugin: this.#readiness.gate("cni plugin"),
  };
  readonly #client: KubeClient;
  readonly #capture: NodeCapture;
  readonly #findNetns: (uid: string) => FoundNetns;
  readonly #annotate: (pod: PodRef, captured: boolean) => Promise<void>;
  readonly #events: CaptureEvents;
  readonly #refusals = new RefusalCounts();
  readonly #skipped: SkippedPods;
  readonly #view: ClusterView;
  readonly #zds: ZdsServer;
  readonly #dataplane: MeshDataplane;
  readonly #older: OlderConnections;
  readonly #reconciler: PodReconciler;
  /** Pods are not touched before those of an earlier agent have been taken over. */
  #recovered = false;
  #isBeingRemoved = false;
  #stopInstalling = (): void => undefined;

  constructor(config: AgentConfig, log: Logger) {
    this.#config = config;
    this.#log = log;
    this.#skipped = new SkippedPods(log.child("skipped"));
    this.#stops = new StopStack(log);
    this.#client = loadKubeClient(config.kubeconfig);
    joinCgroupNamespace(1); // the node's: pods, ztunnel and the kubelet are told by their control groups
    this.#capture = prepareCapture(config, log);
    const tree = findCgroupTree();
    this.#findNetns = (uid) => findPodNetns(tree, uid);
    const annotator = new RedirectionAnnotator({
      client: this.#client,
      clock: systemClock,
      log,
      signal: this.#stopping.signal,
    });
    this.#annotate = (pod, captured) => annotator.set(pod, captured);
    this.#events = new CaptureEvents({
      client: this.#client,
      nodeName: config.nodeName,
      clock: systemClock,
      log: log.child("events"),
    });
    this.#view = new ClusterView({
      client: this.#client,
      nodeName: config.nodeName,
      log: log.child("cluster"),
      onPods: (uids) => this.#touch(uids),
      onPolicies: () => this.#older.endCovered(),
    });
    this.#zds = this.#makeZds();
    this.#dataplane = this.#makeDataplane();
    this.#older = new OlderConnections({
      capture: this.#capture,
      pods: this.#dataplane.pods,
      policies: () => this.#view.policies(),
      rootNamespace: config.rootNamespace,
      log: log.child("older-connections"),
    });
    this.#reconciler = new PodReconciler({
      systemNamespace: config.podNamespace,
      excludedNamespaces: config.excludedNamespaces,
      skipped: this.#skipped,
      dataplane: this.#dataplane,
      podByUid: (uid) => this.#view.podByUid(uid),
      namespaceByName: (name) => this.#view.namespaceByName(name),
      findNetns: this.#findNetns,
      events: this.#events,
      clock: systemClock,
      log: log.child("reconciler"),
    });
  }

  async openEndpoints(): Promise<void> {
    const close = await openEndpoints({
      config: this.#config,
      readiness: this.#readiness,
      older: this.#older,
      skipped: this.#skipped,
      pods: this.#dataplane.pods,
      ztunnelsConnected: () => this.#zds.connected,
      refusals: this.#refusals,
    });
    this.#stops.push("endpoints", close);
  }

  async run(): Promise<void> {
    const [config, log, stops] = [this.#config, this.#log, this.#stops];
    this.#view.start();
    stops.push("cluster view", () => this.#view.stop());
    await synced(this.#view, this.#stopping.signal);
    this.#gates.cluster(true);
    const podByUid = (uid: string): PodObject | undefined => this.#view.podByUid(uid);
    const recovered = recoverPods({ capture: this.#capture, podByUid, findNetns: this.#findNetns, log });
    for (const { pod, found, complete } of recovered) {
      const annotated = pod.metadata.annotations[ANNOTATION_REDIRECTION] === "enabled";
      this.#dataplane.takeOver(podRef(pod), found.netns, { complete, annotated });
    }
    const handler = this.#cniHandler();
    const closeCni = await serveCni({
      path: config.agentSocket,
      handler,
      judgePeer: judgeCniCaller,
      refusals: this.#refusals,
      log,
    });
    stops.push("cni socket", closeCni);
    this.#recovered = true;
    this.#touch(this.#view.pods().map((pod) => pod.metadata.uid));
    this.#zds.listen();
    stops.push("zds", () => this.#zds.close());
    const watchdog = new Watchdog({
      capture: this.#capture,
      pods: this.#dataplane.pods,
      annotate: this.#annotate,
      log: log.child("watchdog"),
    });
    watchdog.start();
    stops.push("watchdog", () => watchdog.stop());
    this.#stopInstalling = keepInstalled(installOptions(config), log.child("install"), this.#gates.plugin);
    stops.push("plugin", this.#stopInstalling);
    const { attachment, probeExemption } = this.#capture;
    log.info({ attachment, probes: probeExemption, recovered: recovered.length }, "agent running");
  }

  /** Leaves capture in place for the next agent, unless the mesh has been removed from the cluster. */
  async stop(): Promise<void> {
    const reason = await whyStopping(this.#client, this.#config.podNamespace);
    this.#log.info({ reason: reason.kind }, "agent stopping");
    if (reason.kind === "unknown") this.#log.warn({ why: reason.why }, STAYS_CAPTURED);
    if (reason.kind === "removed") await this.#removeFromNode();
    this.#reconciler.close();
    this.#stopping.abort(new DOMException("agent stopping", "AbortError"));
    await this.#stops.stopAll(STOP_DEADLINE_MS);
    this.#dataplane.close();
    this.#capture.close();
  }

  #removeFromNode(): Promise<void> {
    return removeFromNode({
      refuseNewPods: () => (this.#isBeingRemoved = true),
      stopReconciling: () => this.#reconciler.close(),
      stopInstalling: () => this.#stopInstalling(),
      uninstall: () => uninstallPlugin(installOptions(this.#config)),
      dataplane: this.#dataplane,
      forgetNode: () => this.#capture.forgetNode(),
      log: this.#log,
    });
  }

  #makeZds(): ZdsServer {
    const prefix = kubepodsPrefix(readFileSync("/proc/self/cgroup", "utf8"));
    return new ZdsServer({
      path: this.#config.ztunnelSocket,
      log: this.#log.child("zds"),
      refusals: this.#refusals,
      judgePeer: (peer) => judgeZtunnel(peer, prefix, ztunnelUids(this.#view, this.#config)),
      snapshot: () =>
        this.#dataplane.pods
          .all()
          .map((entry) => ({ request: addRequest(entry.pod), fd: entry.target.netns.fd })),
      onReady: (peer, acked) => {
        const uids = acked.flatMap(({ request }) => (request.kind === "add" ? [request.uid] : []));
        this.#dataplane.ztunnelReady(peer, uids);
        this.#touch(this.#view.pods().map((pod) => pod.metadata.uid));
      },
      onGone: (_peer, remaining) => {
        if (remaining === 0) this.#dataplane.ztunnelGone();
      },
    });
  }

  #makeDataplane(): MeshDataplane {
    return new MeshDataplane({
      capture: this.#capture,
      zds: this.#zds,
      annotate: this.#annotate,
      onJoined: () => this.#older.endCovered(),
      onDeviceEvent: (pod, event) => this.#deviceChanged(pod, event),
      drainMs: this.#config.drainMs,
      holdMs: this.#config.holdMs,
      refusals: this.#refusals,
      log: this.#log.child("dataplane"),
    });
  }

  #cniHandler(): CniHandler {
    return new CniHandler({
      nodeName: this.#config.nodeName,
      systemNamespace: this.#config.podNamespace,
      excludedNamespaces: this.#config.excludedNamespaces,
      dataplane: this.#dataplane,
      findPod: (namespace, name, uid) => this.#view.findPod(namespace, name, uid),
      findNamespace: (name) => this.#view.findNamespace(name),
      findNetns: this.#findNetns,
      notReady: () => this.#notReady(),
      refusals: this.#refusals,
      log: this.#log.child("cni"),
    });
  }

  #notReady(): string | undefined {
    if (this.#isBeingRemoved) return "the mesh is being removed from this node";
    return this.#zds.connected === 0 ? "no ztunnel is connected on this node" : undefined;
  }

  #deviceChanged(pod: PodRef, event: DeviceEvent): void {
    const fields = { pod: podText(pod), ...event };
    if (event.kind !== "failed") {
      this.#log.info(fields, "device of a captured pod changed");
      return;
    }
    this.#log.error(fields, "capture is broken: a device is not covered");
    void this.#annotate(pod, false);
  }

  #touch(uids: readonly string[]): void {
    if (!this.#recovered) return;
    for (const uid of uids) this.#reconciler.touch(uid);
  }
}

/** ztunnel pods of this node, which alone may learn of pods. */
function ztunnelUids(view: ClusterView, config: AgentConfig): readonly string[] {
  const [label, value] = ZTUNNEL_LABEL;
  return view
    .pods()
    .filter((pod) => pod.metadata.namespace === config.podNamespace && pod.metadata.labels[label] === value)
    .map((pod) => pod.metadata.uid);
}

function installOptions(config: AgentConfig): Parameters<typeof uninstallPlugin>[0] {
  return { binDir: config.cniBinDir, confDir: config.cniConfDir, agentSocket: config.agentSocket };
}

async function synced(view: ClusterView, signal: AbortSignal): Promise<void> {
  while (!view.hasSynced()) await systemClock.sleep(50, signal);
}
