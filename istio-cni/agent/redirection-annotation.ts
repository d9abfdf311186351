/**
 * Writes `ambient.istio.io/redirection` on pods, the one field of the API that the agent changes. Peers speak HBONE to
 * a pod that has it, so it is set only for captured pods. The newest wish per pod wins and is tried until it holds.
 */
import { createBackoff } from "#core/base/backoff.ts";
import type { Clock } from "#core/base/clock.ts";
import { mergePatch } from "#core/k8s/apply.ts";
import { POD } from "#core/k8s/kinds.ts";
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { ANNOTATION_REDIRECTION } from "#core/model/well-known.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { type PodRef, podText } from "./pod-ref.ts";

export interface AnnotatorDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Longer than this nobody waits: the write goes on in the background. */
const PATIENCE_MS = 3_000;

export class RedirectionAnnotator {
  readonly #deps: AnnotatorDeps;
  readonly #wishes = new Map<string, symbol>();

  constructor(deps: AnnotatorDeps) {
    this.#deps = deps;
  }

  /** Resolves when written, or after a short while with the write still being tried. Never rejects. */
  async set(pod: PodRef, captured: boolean): Promise<void> {
    const wish = Symbol(pod.uid);
    this.#wishes.set(pod.uid, wish);
    const { clock } = this.#deps;
    const { promise: patience, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(PATIENCE_MS, resolve);
    await Promise.race([this.#writeUntilDone(pod, captured, wish), patience]);
    cancel();
  }

  async #writeUntilDone(pod: PodRef, captured: boolean, wish: symbol): Promise<void> {
    const { clock, log, signal } = this.#deps;
    const backoff = createBackoff({ firstMs: 200, maxMs: 15_000 });
    while (this.#wishes.get(pod.uid) === wish && !signal.aborted) {
      try {
        await this.#write(pod, captured);
        break;
      } catch (error) {
        if (kubeStatus(error) === 404) break; // the pod is gone, and the annotation with it
        log.warn(
          { pod: podText(pod), captured, error: describeError(error) },
          "redirection annotation not written",
        );
        await clock.sleep(backoff.next(), signal).catch(() => undefined);
      }
    }
    if (this.#wishes.get(pod.uid) === wish) this.#wishes.delete(pod.uid);
  }

  /** Through the status subresource: the uid makes sure that a new pod of the same name is not meant. */
  #write(pod: PodRef, captured: boolean): Promise<unknown> {
    const target = { kind: POD, namespace: pod.namespace, name: pod.name, subresource: "status" };
    const annotations = { [ANNOTATION_REDIRECTION]: captured ? "enabled" : null };
    return mergePatch(
      this.#deps.client,
      target,
      { metadata: { uid: pod.uid, annotations } },
      this.#deps.signal,
    );
  }
}
