/**
 * After a restart of the agent the pins tell which pods are captured: each is found again and verified, and what
 * belongs to no pod any more is removed. Runs before the first ztunnel is answered.
 */
import type { PodObject } from "#core/k8s/object-types.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { NodeCapture } from "../capture/capture.ts";
import type { FoundNetns } from "./netns-finder.ts";
import { podRef, podText } from "./pod-ref.ts";

export interface RecoveryDeps {
  readonly capture: NodeCapture;
  readonly podByUid: (uid: string) => PodObject | undefined;
  readonly findNetns: (uid: string) => FoundNetns;
  readonly log: Logger;
}

export interface RecoveredPod {
  readonly pod: PodObject;
  readonly found: FoundNetns & { readonly kind: "found" };
  /** False: capture was being made, or taken away, when the agent ended. */
  readonly complete: boolean;
}

/** Pods that were captured and still run; the caller takes them over. */
export function recoverPods(deps: RecoveryDeps): readonly RecoveredPod[] {
  forgetDeadPods(deps);
  return deps.capture.findEnrolled().flatMap((enrolled) => {
    const pod = deps.podByUid(enrolled.podUid);
    const found = pod === undefined ? undefined : deps.findNetns(enrolled.podUid);
    if (pod === undefined || found?.kind !== "found") {
      deps.log.warn(
        { uid: enrolled.podUid },
        "captured pod not found: stays captured until its namespace is gone",
      );
      return [];
    }
    const { complete } = enrolled;
    if (!complete)
      deps.log.warn(
        { pod: podText(podRef(pod)) },
        "enrolment or release was interrupted: it is taken up again",
      );
    if (found.netns.inode === enrolled.netnsInode) return [{ pod, found, complete }];
    found.netns.close();
    deps.log.error({ uid: enrolled.podUid }, "captured namespace is not the pod's own: left alone");
    return [];
  });
}

/** Removes pins of pods whose namespace is gone; returns how many. */
export function forgetDeadPods(deps: Pick<RecoveryDeps, "capture" | "log">): number {
  const dead = deps.capture.findEnrolled().filter((enrolled) => enrolled.netnsInode === undefined);
  for (const { podUid } of dead) {
    deps.capture.forgetPod(podUid);
    deps.log.debug({ uid: podUid }, "pins of an ended pod removed");
  }
  return dead.length;
}
