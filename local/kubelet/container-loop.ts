/**
 * A container over its runs: image, environment, start, hooks, probes, restarts with CrashLoopBackOff, and the status of it all.
 */
import { describeError } from "#core/runtime/errors.ts";
import { describeProblems, type Parsed, problem } from "#core/base/parse-result.ts";
import { type Image, lookUpImage } from "../images.ts";
import { type ContainerExit, type RunningContainer, startContainer } from "./container.ts";
import { refusal } from "./container-plan.ts";
import type { PodEvent } from "./cluster-access.ts";
import { containerEnvironment, type EnvSources, type PodFacts } from "./environment.ts";
import { runHandler } from "./handlers.ts";
import type { NodeContext } from "./node-context.ts";
import type { ContainerSpec, ContainerState, ContainerStatus } from "./pod-types.ts";
import { runProbes } from "./probes.ts";
import type { Sandbox } from "./sandbox.ts";

export interface LoopDeps {
  readonly context: NodeContext;
  readonly facts: PodFacts;
  readonly sandbox: Sandbox;
  readonly volumes: ReadonlyMap<string, string>;
  readonly container: ContainerSpec;
  /** Always, OnFailure or Never. */
  readonly restartPolicy: string;
  /** Of the container of the same name in the pod's sandbox before this one. */
  readonly earlier: ContainerStatus | undefined;
  /** The status changed. */
  readonly onChange: () => void;
}

const MAX_BACKOFF_MS = 300_000;
const LONG_RUN_MS = 600_000;
const CONFIG_RETRY_MS = 5_000;
const HOOK_TIMEOUT_MS = 30_000;

export class ContainerLoop {
  readonly #deps: LoopDeps;
  readonly #stopping = new AbortController();
  readonly #startedOnce = Promise.withResolvers<void>();
  #state: ContainerState = { waiting: { reason: "PodInitializing" } };
  #lastState: ContainerState = {};
  #restarts = 0;
  #ready = false;
  #started = false;
  #running: RunningContainer | undefined;

  constructor(deps: LoopDeps) {
    this.#deps = deps;
    const { earlier } = deps;
    if (earlier === undefined) return;
    this.#lastState = earlier.state.terminated === undefined ? earlier.lastState : earlier.state;
    this.#restarts = earlier.restartCount + (this.#lastState.terminated === undefined ? 0 : 1);
  }

  get running(): RunningContainer | undefined {
    return this.#running;
  }

  /** Number of the newest log file. */
  get attempt(): number {
    return this.#restarts;
  }

  /** Resolves when the container runs and its startup probe (if any) has passed: a sidecar's turn is over. */
  get startedUp(): Promise<void> {
    return this.#startedOnce.promise;
  }

  status(): ContainerStatus {
    const { name, image } = this.#deps.container;
    return {
      name,
      image,
      imageID: `ambit-local://${image}`,
      ...(this.#running === undefined ? {} : { containerID: `ambit://${this.#running.id}` }),
      ready: this.#ready,
      started: this.#started,
      restartCount: this.#restarts,
      state: this.#state,
      lastState: this.#lastState,
    };
  }

  /** Runs until the restart policy says "no more" or `stop` is called. The last exit, if there was one. */
  async run(): Promise<ContainerExit | undefined> {
    let delayMs = 0;
    while (!this.#stopping.signal.aborted) {
      const began = this.#deps.context.clock.monotonicMs();
      const exit = await this.#runOnce();
      if (exit === undefined || this.#stopping.signal.aborted) return exit;
      const again =
        this.#deps.restartPolicy === "Always" ||
        (this.#deps.restartPolicy === "OnFailure" && exit.code !== 0);
      if (!again) return exit;
      const ran = this.#deps.context.clock.monotonicMs() - began;
      if (ran > LONG_RUN_MS) delayMs = 0;
      await this.#backOff(delayMs);
      delayMs = Math.min(MAX_BACKOFF_MS, delayMs === 0 ? this.#deps.context.crashBackoffMs : delayMs * 2);
      this.#restarts++;
    }
    return undefined;
  }

  /** preStop hook, SIGTERM, grace, SIGKILL. */
  async stop(graceMs: number): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const running = this.#running;
    const began = this.#deps.context.clock.monotonicMs();
    const hook = this.#deps.container.lifecycle?.preStop;
    if (running !== undefined && hook !== undefined) await this.#hook(hook, running, graceMs);
    this.#stopping.abort(new DOMException("pod stops", "AbortError"));
    const spent = this.#deps.context.clock.monotonicMs() - began;
    // As kubelet: a hook that used the whole grace period still leaves the process two seconds.
    await running?.stop(Math.max(graceMs - spent, graceMs === 0 ? 0 : 2_000));
  }

  async #runOnce(): Promise<ContainerExit | undefined> {
    const prepared = await this.#prepare();
    if (prepared === undefined || this.#stopping.signal.aborted) return undefined;
    const { context, facts, sandbox, volumes, container } = this.#deps;
    const running = startContainer({
      context,
      pod: facts.pod,
      sandbox,
      container,
      volumes,
      attempt: this.#restarts,
      ...prepared,
    });
    this.#running = running;
    await running.started;
    const startedAt = new Date(context.clock.nowMs()).toISOString();
    this.#event({ type: "Normal", reason: "Started", message: `Started container ${container.name}` });
    this.#set(
      { running: { startedAt } },
      { ready: container.readinessProbe === undefined, started: container.startupProbe === undefined },
    );
    const probing = new AbortController();
    this.#watch(running, probing.signal);
    const exit = await running.exited;
    probing.abort();
    this.#running = undefined;
    const finishedAt = new Date(context.clock.nowMs()).toISOString();
    const terminated = {
      exitCode: exit.code,
      reason: exit.reason,
      startedAt,
      finishedAt,
      containerID: `ambit://${running.id}`,
    };
    this.#set({ terminated }, { ready: false, started: false });
    return exit;
  }

  /** Image and environment; waits and retries while they are not there. Undefined: stopped meanwhile. */
  async #prepare(): Promise<
    { readonly image: Image; readonly env: Readonly<Record<string, string>> } | undefined
  > {
    const { context, facts, container } = this.#deps;
    const image = lookUpImage(container.image);
    if (image.kind === "unknown") return this.#never("ErrImagePull", image.message);
    const refused = refusal(facts.pod.spec, container, image.image);
    if (refused !== undefined) return this.#never("CreateContainerConfigError", refused);
    while (!this.#stopping.signal.aborted) {
      const env = await this.#environment(image.image);
      if (env.ok) return { image: image.image, env: env.value };
      const message = describeProblems(env.problems);
      this.#set(
        { waiting: { reason: "CreateContainerConfigError", message } },
        { ready: false, started: false },
      );
      await this.#sleep(Math.min(CONFIG_RETRY_MS, context.crashBackoffMs));
    }
    return undefined;
  }

  /** A source that cannot be fetched is a problem to wait for, as one that is missing. */
  async #environment(image: Image): Promise<Parsed<Record<string, string>>> {
    try {
      const { container, facts, context } = this.#deps;
      const { metadata, spec } = facts.pod;
      const linked = spec.enableServiceLinks !== false;
      const services = linked ? await context.access.services(metadata.namespace) : [];
      return containerEnvironment({ container, facts, sources: await this.#sources(), services, image });
    } catch (error) {
      return problem("", describeError(error));
    }
  }

  async #sources(): Promise<EnvSources> {
    const { context, facts, container } = this.#deps;
    const { namespace } = facts.pod.metadata;
    const found = new Map<string, ReadonlyMap<string, Buffer>>();
    const add = async (kind: "configMap" | "secret", name: string | undefined): Promise<void> => {
      if (name === undefined || found.has(`${kind}/${name}`)) return;
      const data = await (kind === "secret"
        ? context.access.secret(namespace, name)
        : context.access.configMap(namespace, name));
      if (data !== undefined) found.set(`${kind}/${name}`, data);
    };
    for (const source of container.envFrom ?? []) {
      await add("configMap", source.configMapRef?.name);
      await add("secret", source.secretRef?.name);
    }
    for (const variable of container.env ?? []) {
      await add("configMap", variable.valueFrom?.configMapKeyRef?.name);
      await add("secret", variable.valueFrom?.secretKeyRef?.name);
    }
    return found;
  }

  /** A state that only another pod spec can end. */
  async #never(reason: string, message: string): Promise<undefined> {
    this.#event({ type: "Warning", reason: "Failed", message: `${reason}: ${message}` });
    this.#set({ waiting: { reason, message } }, { ready: false, started: false });
    await new Promise<void>((resolve) =>
      this.#stopping.signal.addEventListener("abort", () => resolve(), { once: true }),
    );
    return undefined;
  }

  #watch(running: RunningContainer, signal: AbortSignal): void {
    const { context, facts, sandbox, container } = this.#deps;
    const hook = container.lifecycle?.postStart;
    if (hook !== undefined) void this.#hook(hook, running, HOOK_TIMEOUT_MS);
    runProbes({
      container,
      podIp: sandbox.ips[0] ?? context.nodeIp,
      running,
      clock: context.clock,
      log: context.log,
      signal,
      onStarted: () => this.#update(() => (this.#started = true)),
      onReady: (ready) => this.#update(() => (this.#ready = ready)),
      onUnhealthy: (kind, why) =>
        this.#event({ type: "Warning", reason: "Unhealthy", message: `${kind} probe failed: ${why}` }),
      onFatal: (kind) => {
        this.#event({
          type: "Normal",
          reason: "Killing",
          message: `Container ${container.name} failed ${kind} probe, will be restarted`,
        });
        void running.stop((facts.pod.spec.terminationGracePeriodSeconds ?? 30) * 1000);
      },
    });
    if (container.startupProbe === undefined) this.#startedOnce.resolve();
  }

  async #hook(
    hook: NonNullable<NonNullable<ContainerSpec["lifecycle"]>["preStop"]>,
    running: RunningContainer,
    timeoutMs: number,
  ): Promise<void> {
    const { container, sandbox, context } = this.#deps;
    const target = { podIp: sandbox.ips[0] ?? context.nodeIp, container, exec: running.execForResult };
    const result = await Promise.race([runHandler(hook, target, timeoutMs), context.clock.sleep(timeoutMs)]);
    if (result?.passed === false) this.#event({ type: "Warning", reason: "FailedHook", message: result.why });
  }

  async #backOff(delayMs: number): Promise<void> {
    if (delayMs === 0) return;
    const { container, facts } = this.#deps;
    const message = `back-off ${Math.round(delayMs / 1000)}s restarting failed container=${container.name} pod=${facts.pod.metadata.name}`;
    this.#lastState = this.#state;
    this.#event({
      type: "Warning",
      reason: "BackOff",
      message: `Back-off restarting failed container ${container.name}`,
    });
    this.#set({ waiting: { reason: "CrashLoopBackOff", message } }, { ready: false, started: false });
    await this.#sleep(delayMs);
  }

  #set(state: ContainerState, flags: { readonly ready: boolean; readonly started: boolean }): void {
    this.#update(() => {
      if (state.running !== undefined && this.#state.terminated !== undefined) this.#lastState = this.#state;
      this.#state = state;
      this.#ready = flags.ready && flags.started;
      this.#started = flags.started;
    });
  }

  #update(change: () => void): void {
    change();
    if (this.#started && this.#state.running !== undefined) this.#startedOnce.resolve();
    this.#deps.onChange();
  }

  #event(event: PodEvent): void {
    this.#deps.context.access.recordEvent(this.#deps.facts.pod, event);
  }

  async #sleep(ms: number): Promise<void> {
    await this.#deps.context.clock.sleep(ms, this.#stopping.signal).catch(() => undefined);
  }
}
