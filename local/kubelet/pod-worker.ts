/**
 * The life of one pod on its node, from the first look to the confirmed end: sandbox, volumes, containers, a new sandbox when the
 * sandbox is lost, end. One worker per pod uid; whatever fails is retried or reported, the worker never throws.
 */
import { describeError } from "#core/runtime/errors.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { killCgroup, removeCgroup } from "./cgroups.ts";
import type { ContainerLoop } from "./container-loop.ts";
import { userPlan } from "./container-plan.ts";
import type { PodFacts } from "./environment.ts";
import { lookUpImage } from "../images.ts";
import type { NodeContext } from "./node-context.ts";
import { aborted, needsNewSandbox, PodContainers, sidecarNames } from "./pod-containers.ts";
import { podStatus, waitingStatus } from "./pod-status.ts";
import type { ContainerSpec, ContainerStatus, PodObject, PodStatus } from "./pod-types.ts";
import { podCgroup } from "./resources.ts";
import { type RetriedStep, retryWithEvent } from "./retry-with-event.ts";
import { createSandbox, removeNetwork, removeSandboxDirectory, type Sandbox } from "./sandbox.ts";
import { StatusReporter } from "./status-reporter.ts";
import { mountVolumes, type PodVolumes } from "./volumes.ts";

const RETRY_MS = 1_000;
const CONFIRM_ATTEMPTS = 600;

export class PodWorker {
  readonly #context: NodeContext;
  readonly #ending = new AbortController();
  readonly #startTime: string;
  readonly #reporter: StatusReporter;
  #pod: PodObject;
  #sandbox: Sandbox | undefined;
  #volumes: PodVolumes | undefined;
  #containers: PodContainers | undefined;
  #finished = false;
  #lostAtMs = Number.NEGATIVE_INFINITY;

  constructor(context: NodeContext, pod: PodObject) {
    this.#context = context;
    this.#pod = pod;
    this.#startTime = pod.status?.startTime ?? this.#now();
    this.#reporter = new StatusReporter({
      context,
      pod: () => this.#pod,
      status: () => this.#status(),
      isFinal: () => this.#finished,
      onSent: (status) => void (this.#pod = { ...this.#pod, status }),
    });
  }

  get pod(): PodObject {
    return this.#pod;
  }

  loop(container: string): ContainerLoop | undefined {
    return this.#containers?.loop(container);
  }

  get sandbox(): Sandbox | undefined {
    return this.#sandbox;
  }

  /** A newer version of the object; a deletion timestamp begins the end. */
  update(pod: PodObject): void {
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp !== undefined) this.end();
  }

  /** Begins the end: also when the object vanished without asking. */
  end(): void {
    this.#ending.abort(new DOMException("pod ends", "AbortError"));
  }

  /** Resolves when nothing of the pod is left on the node. */
  async run(): Promise<void> {
    this.#reporter.report();
    try {
      while ((await this.#liveInSandbox()) === "lost");
    } catch (error) {
      if (!this.#ending.signal.aborted)
        this.#context.log.error({ pod: this.#pod.metadata.name, error: describeError(error) }, "pod failed");
    }
    if (!this.#ending.signal.aborted) {
      this.#finished = true;
      this.#reporter.report();
      await aborted(this.#ending.signal);
    }
    await this.#die();
  }

  /** One sandbox from its making to its loss; `over` when the containers are done, the pod ends, or none of them may run again. */
  async #liveInSandbox(): Promise<"over" | "lost"> {
    const sandbox = await this.#makeSandbox();
    const lost = new AbortController();
    sandbox.pause.once("exit", () => lost.abort(new DOMException("sandbox lost", "AbortError")));
    const living = this.#live(sandbox, AbortSignal.any([this.#ending.signal, lost.signal]));
    // The end does not wait for containers: it is the end that stops them.
    await Promise.race([living, aborted(this.#ending.signal), aborted(lost.signal)]);
    if (this.#ending.signal.aborted || !lost.signal.aborted) return "over";
    const again = await this.#loseSandbox(sandbox, living);
    if (!again) return "over";
    // One that is lost again and again is not made anew faster than one that cannot be made.
    const now = this.#context.clock.monotonicMs();
    const waitMs = this.#lostAtMs + this.#context.sandboxRetryMs - now;
    this.#lostAtMs = now;
    if (waitMs > 0) await this.#context.clock.sleep(waitMs, this.#ending.signal);
    return "lost";
  }

  async #makeSandbox(): Promise<Sandbox> {
    const sandbox = await this.#retry({
      reason: "FailedCreatePodSandBox",
      retryMs: this.#context.sandboxRetryMs,
      sentence: (error) => `Failed to create pod sandbox: ${error}`,
      attempt: () => createSandbox(this.#context, this.#pod),
    });
    this.#sandbox = sandbox;
    this.#reporter.report();
    return sandbox;
  }

  async #live(sandbox: Sandbox, signal: AbortSignal): Promise<void> {
    const facts: PodFacts = {
      pod: this.#pod,
      nodeName: this.#context.nodeName,
      nodeIp: this.#context.nodeIp,
      podIps: sandbox.ips,
    };
    const volumes = await this.#mountOnce(facts);
    if (signal.aborted) return;
    this.#containers = new PodContainers({
      context: this.#context,
      facts,
      sandbox,
      volumes: volumes.paths,
      earlier: new Map(this.#containerStatuses().map((status) => [status.name, status])),
      signal,
      onChange: () => this.#reporter.report(),
    });
    await this.#containers.run();
  }

  /** As a kubelet: what still runs in the lost sandbox is stopped. True: the pod gets a new one. */
  async #loseSandbox(sandbox: Sandbox, living: Promise<void>): Promise<boolean> {
    const states = this.#containerStatuses().map((status) => status.state);
    const again = needsNewSandbox(this.#pod, states);
    this.#context.log.warn({ pod: this.#pod.metadata.name, again }, "sandbox lost: its first process ended");
    this.#context.access.recordEvent(this.#pod, {
      type: "Normal",
      reason: "SandboxChanged",
      message: again
        ? "Pod sandbox changed, it will be killed and re-created."
        : "Pod sandbox changed, it will be killed.",
    });
    await this.#containers?.stop(this.#graceMs());
    await living.catch((error: unknown) =>
      this.#context.log.debug({ error: describeError(error) }, "start in the lost sandbox given up"),
    );
    await this.#removeNetwork(sandbox);
    removeCgroup(this.#context.host.cgroups, `${this.#cgroup()}/${sandbox.id}`);
    this.#sandbox = undefined;
    this.#reporter.report();
    return again;
  }

  /** Volumes outlive a sandbox: an emptyDir keeps what is in it. */
  async #mountOnce(facts: PodFacts): Promise<PodVolumes> {
    if (this.#volumes !== undefined) return this.#volumes;
    const volumes = await this.#retry({
      reason: "FailedMount",
      retryMs: RETRY_MS,
      sentence: (error) => `MountVolume.SetUp failed: ${error}`,
      attempt: () => this.#mount(facts),
    });
    this.#volumes = volumes;
    spawn(this.#context.log, "volume refresh", () => this.#refresh(volumes));
    return volumes;
  }

  #mount(facts: PodFacts): Promise<PodVolumes> {
    const users = new Set(
      this.#pod.spec.containers.map((container) => {
        const image = lookUpImage(container.image);
        return image.kind === "found" ? userPlan(this.#pod.spec, container, image.image).uid : undefined;
      }),
    );
    const [only] = users;
    const directory = `${this.#context.podRoot}/${this.#pod.metadata.uid}/volumes`;
    const { access, clock } = this.#context;
    return mountVolumes({ access, clock, directory, facts, ownerUid: users.size === 1 ? only : undefined });
  }

  async #refresh(volumes: PodVolumes): Promise<void> {
    let waitMs = 1_000;
    for (;;) {
      await this.#context.clock.sleep(waitMs, this.#ending.signal);
      waitMs = await volumes.refresh().catch((error: unknown) => {
        this.#context.log.warn(
          { pod: this.#pod.metadata.name, error: describeError(error) },
          "volume refresh failed",
        );
        return 5_000;
      });
    }
  }

  #retry<T>(step: RetriedStep<T>): Promise<T> {
    return retryWithEvent(this.#context, this.#pod, step, this.#ending.signal);
  }

  async #die(): Promise<void> {
    await this.#containers?.stop(this.#graceMs());
    this.#finished = true;
    await this.#reporter.send();
    await killCgroup(this.#context.host.cgroups, this.#cgroup(), this.#context.clock);
    if (this.#sandbox !== undefined) await this.#removeNetwork(this.#sandbox);
    removeCgroup(this.#context.host.cgroups, this.#cgroup());
    removeSandboxDirectory(this.#context, this.#pod);
    await this.#confirm();
  }

  /** Until the API has heard it: a pod that is never confirmed stays Terminating for ever. */
  async #confirm(): Promise<void> {
    for (let attempt = 1; attempt <= CONFIRM_ATTEMPTS; attempt++) {
      try {
        await this.#context.access.confirmDeleted(this.#pod);
        return;
      } catch (error) {
        this.#context.log.warn(
          { pod: this.#pod.metadata.name, attempt, error: describeError(error) },
          "confirming the end failed",
        );
        await this.#context.clock.sleep(RETRY_MS);
      }
    }
  }

  async #removeNetwork(sandbox: Sandbox): Promise<void> {
    for (;;) {
      try {
        await removeNetwork(this.#context, this.#pod, sandbox);
        return;
      } catch (error) {
        const message = `error killing pod: failed to "KillPodSandbox": ${describeError(error)}`;
        this.#context.access.recordEvent(this.#pod, { type: "Warning", reason: "FailedKillPod", message });
        await this.#context.clock.sleep(Math.min(this.#context.sandboxRetryMs, 5_000));
      }
    }
  }

  #cgroup(): string {
    return podCgroup(this.#pod.spec, this.#pod.metadata.uid);
  }

  #graceMs(): number {
    const { deletionGracePeriodSeconds } = this.#pod.metadata;
    return (deletionGracePeriodSeconds ?? this.#pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
  }

  /** Init containers first. */
  #containerStatuses(): readonly ContainerStatus[] {
    const { initContainers = [], containers } = this.#pod.spec;
    return [...initContainers, ...containers].map((container) => this.#containerStatus(container));
  }

  #containerStatus(container: ContainerSpec): ContainerStatus {
    const reason = this.#sandbox === undefined ? "ContainerCreating" : "PodInitializing";
    return this.#containers?.status(container.name) ?? waitingStatus(container, reason);
  }

  #status(): PodStatus {
    const facts = {
      pod: this.#pod,
      nodeIps: [this.#context.nodeIp, this.#context.nodeIp6],
      podIps: this.#sandbox?.ips ?? [],
      startTime: this.#startTime,
      sandboxReady: this.#sandbox !== undefined,
      initStatuses: (this.#pod.spec.initContainers ?? []).map((c) => this.#containerStatus(c)),
      sidecars: sidecarNames(this.#pod.spec),
      statuses: this.#pod.spec.containers.map((c) => this.#containerStatus(c)),
      finished: this.#finished,
    };
    return podStatus(facts, this.#now());
  }

  #now(): string {
    return new Date(this.#context.clock.nowMs()).toISOString().replace(/\.\d+Z/, "Z");
  }
}
