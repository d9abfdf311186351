/**
 * The life of one pod on its node, from the first look to the confirmed end: sandbox, volumes, init containers, containers, end.
 * One worker per pod uid; whatever fails is retried or reported, the worker never throws.
 */
import { describeError } from "#core/runtime/errors.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { killCgroup, removeCgroup } from "./cgroups.ts";
import { ContainerLoop } from "./container-loop.ts";
import { userPlan } from "./container-plan.ts";
import type { PodFacts } from "./environment.ts";
import { lookUpImage } from "../images.ts";
import type { NodeContext } from "./node-context.ts";
import { podStatus, waitingStatus } from "./pod-status.ts";
import type { ContainerSpec, ContainerStatus, PodObject, PodStatus } from "./pod-types.ts";
import { podCgroup } from "./resources.ts";
import { createSandbox, removeNetwork, removeSandboxDirectory, type Sandbox } from "./sandbox.ts";
import { mountVolumes, type PodVolumes } from "./volumes.ts";

const RETRY_MS = 1_000;
const CONFIRM_ATTEMPTS = 600;
const STATUS_DELAY_MS = 20;

export class PodWorker {
  readonly #context: NodeContext;
  readonly #ending = new AbortController();
  readonly #startTime: string;
  readonly #loops = new Map<string, ContainerLoop>();
  #pod: PodObject;
  #sandbox: Sandbox | undefined;
  #finished = false;
  #reported = "";
  #reportPending = false;
  #sending: Promise<void> = Promise.resolve();

  constructor(context: NodeContext, pod: PodObject) {
    this.#context = context;
    this.#pod = pod;
    this.#startTime =
      pod.status?.startTime ?? new Date(context.clock.nowMs()).toISOString().replace(/\.\d+Z/, "Z");
  }

  get pod(): PodObject {
    return this.#pod;
  }

  loop(container: string): ContainerLoop | undefined {
    return this.#loops.get(container);
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
    this.#report();
    try {
      const sandbox = await this.#makeSandbox();
      // The end does not wait for containers: it is the end that stops them.
      await Promise.race([this.#live(sandbox), aborted(this.#ending.signal)]);
    } catch (error) {
      if (!this.#ending.signal.aborted)
        this.#context.log.error({ pod: this.#pod.metadata.name, error: describeError(error) }, "pod failed");
    }
    if (!this.#ending.signal.aborted) {
      this.#finished = true;
      this.#report();
      await aborted(this.#ending.signal);
    }
    await this.#die();
  }

  async #makeSandbox(): Promise<Sandbox> {
    const sandbox = await this.#untilDone(
      "FailedCreatePodSandBox",
      this.#context.sandboxRetryMs,
      (error) => `Failed to create pod sandbox: ${error}`,
      () => createSandbox(this.#context, this.#pod),
    );
    this.#sandbox = sandbox;
    this.#watchSandbox(sandbox);
    this.#report();
    return sandbox;
  }

  async #live(sandbox: Sandbox): Promise<void> {
    const facts: PodFacts = {
      pod: this.#pod,
      nodeName: this.#context.nodeName,
      nodeIp: this.#context.nodeIp,
      podIps: sandbox.ips,
    };
    const volumes = await this.#untilDone(
      "FailedMount",
      RETRY_MS,
      (error) => `MountVolume.SetUp failed: ${error}`,
      () => this.#mount(facts),
    );
    spawn(this.#context.log, "volume refresh", () => this.#refresh(volumes));
    await this.#runInit(facts, sandbox, volumes);
    await Promise.all(
      this.#pod.spec.containers.map((container) => this.#loop(container, { facts, sandbox, volumes }).run()),
    );
  }

  async #runInit(facts: PodFacts, sandbox: Sandbox, volumes: PodVolumes): Promise<void> {
    for (const container of this.#pod.spec.initContainers ?? []) {
      if (this.#ending.signal.aborted) return;
      const sidecar = container.restartPolicy === "Always";
      const restartPolicy = sidecar ? "Always" : this.#restartPolicy() === "Never" ? "Never" : "OnFailure";
      const loop = this.#loop(container, { facts, sandbox, volumes, restartPolicy });
      const done = loop.run();
      if (sidecar) {
        await Promise.race([loop.startedUp, aborted(this.#ending.signal)]);
        continue;
      }
      const exit = await done;
      if (exit !== undefined && exit.code !== 0 && !this.#ending.signal.aborted) {
        throw new Error(`init container ${container.name} failed with ${exit.code}`);
      }
    }
  }

  #loop(
    container: ContainerSpec,
    given: {
      readonly facts: PodFacts;
      readonly sandbox: Sandbox;
      readonly volumes: PodVolumes;
      readonly restartPolicy?: string;
    },
  ): ContainerLoop {
    const loop = new ContainerLoop({
      context: this.#context,
      facts: given.facts,
      sandbox: given.sandbox,
      volumes: given.volumes.paths,
      container,
      restartPolicy: given.restartPolicy ?? this.#restartPolicy(),
      onChange: () => this.#report(),
    });
    this.#loops.set(container.name, loop);
    if (this.#ending.signal.aborted) void loop.stop(0);
    return loop;
  }

  #restartPolicy(): string {
    return this.#pod.spec.restartPolicy ?? "Always";
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

  /** Tries until it works or the pod ends; each failure is an event. */
  async #untilDone<T>(
    reason: string,
    retryMs: number,
    sentence: (error: string) => string,
    attempt: () => Promise<T>,
  ): Promise<T> {
    let lastMessage = "";
    for (;;) {
      this.#ending.signal.throwIfAborted();
      try {
        return await attempt();
      } catch (error) {
        const message = sentence(describeError(error).replace(/^(CNI_FAILED|VOLUME_FAILED): /, ""));
        this.#context.access.recordEvent(this.#pod, { type: "Warning", reason, message });
        // The event counts repetitions; the log need not.
        const level = message === lastMessage ? "debug" : "warn";
        lastMessage = message;
        this.#context.log[level](
          { pod: this.#pod.metadata.name, reason, error: message },
          "pod start attempt failed",
        );
        await this.#context.clock.sleep(retryMs, this.#ending.signal);
      }
    }
  }

  /** Nothing but the end of the pod may end `pause`. */
  #watchSandbox(sandbox: Sandbox): void {
    sandbox.pause.once("exit", () => {
      if (!this.#ending.signal.aborted)
        this.#context.log.error({ pod: this.#pod.metadata.name }, "pause process ended");
    });
  }

  async #die(): Promise<void> {
    const { deletionGracePeriodSeconds } = this.#pod.metadata;
    const graceMs = (deletionGracePeriodSeconds ?? this.#pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
    const sidecars = this.#sidecars();
    const byRole = (sidecar: boolean): readonly ContainerLoop[] =>
      [...this.#loops].filter(([name]) => sidecars.has(name) === sidecar).map(([, loop]) => loop);
    await Promise.all(byRole(false).map((loop) => loop.stop(graceMs)));
    await Promise.all(byRole(true).map((loop) => loop.stop(Math.min(graceMs, 2_000))));
    this.#finished = true;
    await this.#send();
    const group = podCgroup(this.#pod.spec, this.#pod.metadata.uid);
    await killCgroup(this.#context.host.cgroups, group, this.#context.clock);
    await this.#removeNetwork();
    removeCgroup(this.#context.host.cgroups, group);
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

  async #removeNetwork(): Promise<void> {
    const sandbox = this.#sandbox;
    if (sandbox === undefined) return;
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

  #sidecars(): ReadonlySet<string> {
    return new Set(
      (this.#pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always").map((c) => c.name),
    );
  }

  #status(): PodStatus {
    const statusOf = (container: ContainerSpec): ContainerStatus =>
      this.#loops.get(container.name)?.status() ??
      waitingStatus(container, this.#sandbox === undefined ? "ContainerCreating" : "PodInitializing");
    const facts = {
      pod: this.#pod,
      nodeIps: [this.#context.nodeIp, this.#context.nodeIp6],
      podIps: this.#sandbox?.ips ?? [],
      startTime: this.#startTime,
      sandboxReady: this.#sandbox !== undefined,
      initStatuses: (this.#pod.spec.initContainers ?? []).map(statusOf),
      sidecars: this.#sidecars(),
      statuses: this.#pod.spec.containers.map(statusOf),
      finished: this.#finished,
    };
    return podStatus(facts, new Date(this.#context.clock.nowMs()).toISOString().replace(/\.\d+Z/, "Z"));
  }

  /** Changes of one moment become one write. */
  #report(): void {
    if (this.#reportPending) return;
    this.#reportPending = true;
    this.#context.clock.after(STATUS_DELAY_MS, () => {
      this.#reportPending = false;
      void this.#send();
    });
  }

  /** One write after the other: two at once could arrive in the wrong order, and the older would stand for good. */
  #send(): Promise<void> {
    this.#sending = this.#sending.then(() => this.#sendNow());
    return this.#sending;
  }

  async #sendNow(): Promise<void> {
    const status = this.#status();
    const text = JSON.stringify(status);
    if (text === this.#reported) return;
    this.#reported = text;
    try {
      await this.#context.access.updateStatus(this.#pod, status);
      this.#pod = { ...this.#pod, status };
    } catch (error) {
      this.#reported = "";
      this.#context.log.warn(
        { pod: this.#pod.metadata.name, error: describeError(error) },
        "status update failed",
      );
      if (!this.#finished) this.#context.clock.after(RETRY_MS, () => this.#report());
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
