/**
 * Brings every pod of the node to what its labels ask for: running pods are captured without a restart, leave, or end.
 * New pods come through the CNI plugin; this finds what it did not see. Failures are tried again with growing delays.
 */
import { type Backoff, createBackoff } from "#core/base/backoff.ts";
import type { EnrolmentSkipReason } from "#core/authz/enrolment.ts";
import type { Clock } from "#core/base/clock.ts";
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { CaptureEvents } from "./capture-events.ts";
import type { MeshDataplane } from "./mesh-dataplane.ts";
import type { FoundNetns } from "./netns-finder.ts";
import { decidePodAction, type PodAction } from "./pod-action.ts";
import { podRef } from "./pod-ref.ts";
import type { SkippedPods } from "./skipped-pods.ts";

export interface PodReconcilerDeps {
  readonly systemNamespace: string;
  readonly excludedNamespaces: readonly string[];
  readonly dataplane: MeshDataplane;
  readonly podByUid: (uid: string) => PodObject | undefined;
  readonly namespaceByName: (name: string) => NamespaceObject | undefined;
  readonly findNetns: (uid: string) => FoundNetns;
  /** Says on the pod why it is not captured, or that it is. */
  readonly events: Pick<CaptureEvents, "refused" | "captured">;
  readonly skipped: SkippedPods;
  readonly clock: Clock;
  readonly log: Logger;
}

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 15_000;

interface Retry {
  readonly backoff: Backoff;
  cancel: () => void;
}

export class PodReconciler {
  readonly #deps: PodReconcilerDeps;
  readonly #running = new Set<string>();
  readonly #again = new Set<string>();
  readonly #retries = new Map<string, Retry>();
  #closed = false;

  constructor(deps: PodReconcilerDeps) {
    this.#deps = deps;
  }

  /** Something about this pod may have changed. Returns at once. */
  touch(uid: string): void {
    if (this.#closed) return;
    if (this.#running.has(uid)) {
      this.#again.add(uid);
      return;
    }
    this.#running.add(uid);
    void this.#run(uid);
  }

  /** No new work; what runs is not awaited. */
  close(): void {
    this.#closed = true;
    for (const retry of this.#retries.values()) retry.cancel();
  }

  async #run(uid: string): Promise<void> {
    do {
      this.#again.delete(uid);
      const done = await this.#reconcile(uid);
      if (done) this.#forgetRetry(uid);
      else this.#scheduleRetry(uid);
    } while (this.#again.has(uid) && !this.#closed);
    this.#running.delete(uid);
  }

  /** False when it has to be tried again. */
  async #reconcile(uid: string): Promise<boolean> {
    try {
      return await this.#perform(uid, this.#decide(uid));
    } catch (error) {
      this.#deps.log.error({ uid, error: describeError(error) }, "pod not reconciled");
      return false;
    }
  }

  #decide(uid: string): PodAction {
    const { podByUid, namespaceByName, dataplane } = this.#deps;
    const pod = podByUid(uid);
    const namespace = pod === undefined ? undefined : namespaceByName(pod.metadata.namespace);
    const entry = dataplane.pods.get(uid);
    const situation = { captured: entry !== undefined, interrupted: entry?.interrupted === true };
    return decidePodAction({ pod, namespace, ...situation }, this.#deps);
  }

  async #perform(uid: string, action: PodAction): Promise<boolean> {
    const { dataplane, skipped } = this.#deps;
    if (action.kind !== "skip") skipped.forget(uid);
    switch (action.kind) {
      case "nothing":
        return true;
      case "skip":
        this.#skip(uid, action.reason);
        return true; // until the pod or its namespace changes
      case "leave":
        await dataplane.leave(uid);
        return true;
      case "withdraw":
        await this.#withdraw(uid);
        return true;
      case "ended":
        await dataplane.ended(uid);
        return true;
      case "join":
        return this.#join(uid);
      case "refuse":
        await this.#refuse(uid, action.message);
        return true; // until the pod changes
    }
  }

  async #withdraw(uid: string): Promise<void> {
    const pod = this.#deps.podByUid(uid);
    if (pod !== undefined) await this.#deps.dataplane.disown(podRef(pod));
  }

  #skip(uid: string, reason: EnrolmentSkipReason): void {
    const pod = this.#deps.podByUid(uid);
    if (pod !== undefined) this.#deps.skipped.say(podRef(pod), reason);
  }

  async #join(uid: string): Promise<boolean> {
    const pod = this.#deps.podByUid(uid);
    if (pod === undefined) return true;
    const found = this.#deps.findNetns(uid);
    if (found.kind === "refused") return this.#refuse(uid, found.reason);
    if (found.kind === "none") return false; // not started yet: the plugin will bring it, or the next look finds it
    const ref = podRef(pod);
    const outcome = await this.#deps.dataplane.join(ref, found.netns);
    if (outcome.kind === "refused") return this.#refuse(uid, outcome.message);
    this.#deps.events.captured(ref);
    return true;
  }

  /** False: it is tried again, and when the pod changes. */
  async #refuse(uid: string, message: string): Promise<false> {
    const pod = this.#deps.podByUid(uid);
    if (pod !== undefined) await this.#deps.events.refused(podRef(pod), message);
    return false;
  }

  #scheduleRetry(uid: string): void {
    if (this.#closed) return;
    const retry = this.#retries.get(uid) ?? {
      backoff: createBackoff({ firstMs: FIRST_RETRY_MS, maxMs: MAX_RETRY_MS }),
      cancel: () => undefined,
    };
    retry.cancel();
    retry.cancel = this.#deps.clock.after(retry.backoff.next(), () => this.touch(uid));
    this.#retries.set(uid, retry);
  }

  #forgetRetry(uid: string): void {
    this.#retries.get(uid)?.cancel();
    this.#retries.delete(uid);
  }
}
