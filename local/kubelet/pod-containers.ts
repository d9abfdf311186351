/**
 * The containers of a pod in one sandbox: init containers in turn, sidecars, then all others; and their end. A pod that gets a new
 * sandbox gets new ones, which go on counting where the old ones stopped.
 */
import { ContainerLoop } from "./container-loop.ts";
import type { PodFacts } from "./environment.ts";
import type { NodeContext } from "./node-context.ts";
import type { ContainerSpec, ContainerState, ContainerStatus, PodObject, PodSpec } from "./pod-types.ts";
import type { Sandbox } from "./sandbox.ts";

const SIDECAR_GRACE_MS = 2_000;

export interface ContainersDeps {
  readonly context: NodeContext;
  readonly facts: PodFacts;
  readonly sandbox: Sandbox;
  readonly volumes: ReadonlyMap<string, string>;
  /** Of the containers in the sandbox before. */
  readonly earlier: ReadonlyMap<string, ContainerStatus>;
  /** The pod or its sandbox ends. */
  readonly signal: AbortSignal;
  readonly onChange: () => void;
}

export class PodContainers {
  readonly #deps: ContainersDeps;
  readonly #spec: PodSpec;
  readonly #loops = new Map<string, ContainerLoop>();

  constructor(deps: ContainersDeps) {
    this.#deps = deps;
    this.#spec = deps.facts.pod.spec;
  }

  loop(name: string): ContainerLoop | undefined {
    return this.#loops.get(name);
  }

  status(name: string): ContainerStatus | undefined {
    return this.#loops.get(name)?.status() ?? this.#deps.earlier.get(name);
  }

  /** Resolves when the restart policy asks for nothing more; fails when an init container failed for good. */
  async run(): Promise<void> {
    await this.#runInit();
    const due = this.#spec.containers.filter((container) =>
      startsAgain(this.#spec, this.#deps.earlier.get(container.name)?.state),
    );
    await Promise.all(due.map((container) => this.#loop(container, this.#restartPolicy()).run()));
  }

  /** Sidecars last, since the others may need them to end well. */
  async stop(graceMs: number): Promise<void> {
    const sidecars = sidecarNames(this.#spec);
    const byRole = (sidecar: boolean): readonly ContainerLoop[] =>
      [...this.#loops].filter(([name]) => sidecars.has(name) === sidecar).map(([, loop]) => loop);
    await Promise.all(byRole(false).map((loop) => loop.stop(graceMs)));
    await Promise.all(byRole(true).map((loop) => loop.stop(Math.min(graceMs, SIDECAR_GRACE_MS))));
  }

  async #runInit(): Promise<void> {
    for (const container of this.#spec.initContainers ?? []) {
      if (this.#deps.signal.aborted) return;
      const sidecar = container.restartPolicy === "Always";
      const restartPolicy = sidecar ? "Always" : this.#restartPolicy() === "Never" ? "Never" : "OnFailure";
      const loop = this.#loop(container, restartPolicy);
      const done = loop.run();
      if (sidecar) {
        await Promise.race([loop.startedUp, aborted(this.#deps.signal)]);
        continue;
      }
      const exit = await done;
      if (exit !== undefined && exit.code !== 0 && !this.#deps.signal.aborted) {
        throw new Error(`init container ${container.name} failed with ${exit.code}`);
      }
    }
  }

  #loop(container: ContainerSpec, restartPolicy: string): ContainerLoop {
    const { context, facts, sandbox, volumes, onChange, earlier, signal } = this.#deps;
    const loop = new ContainerLoop({
      context,
      facts,
      sandbox,
      volumes,
      container,
      restartPolicy,
      earlier: earlier.get(container.name),
      onChange,
    });
    this.#loops.set(container.name, loop);
    if (signal.aborted) void loop.stop(0);
    return loop;
  }

  #restartPolicy(): string {
    return this.#spec.restartPolicy ?? "Always";
  }
}

/** Pure. Whether a pod whose sandbox is lost is started again: no container has ever run, or one may run again. */
export function needsNewSandbox({ spec }: PodObject, states: readonly ContainerState[]): boolean {
  const neverRan = states.every((state) => state.running === undefined && state.terminated === undefined);
  if (neverRan) return true;
  return spec.restartPolicy !== "Never" && states.some((state) => startsAgain(spec, state));
}

/** What has succeeded runs again only under `Always`. */
function startsAgain(spec: PodSpec, state: ContainerState | undefined): boolean {
  return (spec.restartPolicy ?? "Always") === "Always" || state?.terminated?.exitCode !== 0;
}

/** Init containers that stay. */
export function sidecarNames(spec: PodSpec): ReadonlySet<string> {
  return new Set((spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always").map((c) => c.name));
}

export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
