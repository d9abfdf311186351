/** All pods of the node: one worker per uid, made when a pod appears, forgotten when nothing of it is left. */
import { spawn } from "#core/runtime/spawn.ts";
import type { NodeContext } from "./node-context.ts";
import type { PodObject } from "./pod-types.ts";
import { PodWorker } from "./pod-worker.ts";

export class PodManager {
  readonly #context: NodeContext;
  readonly #workers = new Map<string, PodWorker>();

  constructor(context: NodeContext) {
    this.#context = context;
  }

  start(signal: AbortSignal): void {
    this.#context.access.watchPods(
      { changed: (pod) => this.#changed(pod), gone: (uid) => this.#workers.get(uid)?.end() },
      signal,
    );
  }

  find(namespace: string, name: string): PodWorker | undefined {
    const matches = [...this.#workers.values()].filter(
      (w) => w.pod.metadata.namespace === namespace && w.pod.metadata.name === name,
    );
    return matches.at(-1);
  }

  #changed(pod: PodObject): void {
    const { uid } = pod.metadata;
    const known = this.#workers.get(uid);
    if (known !== undefined) {
      known.update(pod);
      return;
    }
    const phase = pod.status?.phase;
    const over = phase === "Succeeded" || phase === "Failed";
    if (over && pod.metadata.deletionTimestamp === undefined) return;
    const worker = new PodWorker(this.#context, pod);
    this.#workers.set(uid, worker);
    worker.update(pod);
    spawn(this.#context.log, `pod ${pod.metadata.namespace}/${pod.metadata.name}`, async () => {
      await worker.run();
      this.#workers.delete(uid);
    });
  }
}
