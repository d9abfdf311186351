/**
 * Pods whose labels ask for the mesh and that can never be captured, each with the reason: said once in the log, listed
 * for `ambit`. Without this a label that does nothing would look like one that works.
 */
import type { EnrolmentSkipReason } from "#core/authz/enrolment.ts";
import type { Logger } from "#core/runtime/log.ts";
import { type PodRef, podText } from "./pod-ref.ts";

export interface SkippedPod {
  readonly namespace: string;
  readonly name: string;
  readonly reason: EnrolmentSkipReason;
}

export class SkippedPods {
  readonly #byUid = new Map<string, SkippedPod>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  say(pod: PodRef, reason: EnrolmentSkipReason): void {
    if (this.#byUid.get(pod.uid)?.reason === reason) return;
    this.#byUid.set(pod.uid, { namespace: pod.namespace, name: pod.name, reason });
    this.#log.info({ pod: podText(pod), reason }, "labelled for the mesh, but not captured");
  }

  forget(uid: string): void {
    this.#byUid.delete(uid);
  }

  /** By namespace and name. */
  list(): readonly SkippedPod[] {
    const key = (pod: SkippedPod): string => `${pod.namespace}/${pod.name}`;
    return [...this.#byUid.values()].toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
  }
}
