/**
 * Says on the pod, as a Kubernetes Event, why a running pod's traffic is not captured (a new pod does not start then,
 * and the kubelet says why). One event per pod and sentence, however often it is tried again.
 */
import { Lru } from "#core/base/lru.ts";
import type { Clock } from "#core/base/clock.ts";
import { createObject } from "#core/k8s/apply.ts";
import { EVENT } from "#core/k8s/kinds.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { type PodRef, podText } from "./pod-ref.ts";

export interface CaptureEventsDeps {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const REASON = "AmbitCaptureFailed";
/** The API refuses longer messages. */
const MAX_MESSAGE = 1_024;
const REMEMBERED_PODS = 1_000;

export class CaptureEvents {
  readonly #deps: CaptureEventsDeps;
  readonly #said = new Lru<string, string>(REMEMBERED_PODS);

  constructor(deps: CaptureEventsDeps) {
    this.#deps = deps;
  }

  /** Never rejects: an event that cannot be written is logged, and said again with the next refusal. */
  async refused(pod: PodRef, message: string): Promise<void> {
    if (this.#said.get(pod.uid) === message) return;
    this.#said.set(pod.uid, message);
    try {
      await createObject(this.#deps.client, EVENT, pod.namespace, this.#event(pod, message));
    } catch (error) {
      this.#said.delete(pod.uid);
      this.#deps.log.warn({ pod: podText(pod), error: describeError(error) }, "event not written");
    }
  }

  /** The pod is captured now: a later refusal is news again. */
  captured(pod: PodRef): void {
    this.#said.delete(pod.uid);
  }

  #event(pod: PodRef, message: string): Readonly<Record<string, unknown>> {
    const { nodeName, clock } = this.#deps;
    const now = new Date(clock.nowMs()).toISOString().replace(/\.\d+Z$/, "Z");
    const { namespace, name, uid } = pod;
    return {
      metadata: { generateName: `${name.slice(0, 200)}.`, namespace },
      involvedObject: { apiVersion: "v1", kind: "Pod", namespace, name, uid },
      reason: REASON,
      message: `not captured by the mesh: ${message}`.slice(0, MAX_MESSAGE),
      type: "Warning",
      source: { component: "istio-cni", host: nodeName },
      reportingComponent: "istio-cni",
      reportingInstance: nodeName,
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    };
  }
}
