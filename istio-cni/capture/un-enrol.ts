/**
 * Release of a pod without a reset: new connections pass, captured ones end by themselves, then everything goes.
 * At the deadline the rest is destroyed; capture is never taken from a live captured socket.
 */
import { systemClock, type Clock } from "#core/base/clock.ts";
import type { Attacher, PodContext } from "./attachment.ts";
import type { CaptureTarget, UnEnrolOptions, UnEnrolOutcome } from "./capture.ts";
import { drainVerdict, RELEASE_ORDER } from "./capture-plan.ts";
import { PodPins } from "./pins.ts";
import { readFlags, writeFlags } from "./pod-maps.ts";
import { release } from "./release.ts";
import { capturedSockets, destroySockets, takeCensus } from "./socket-census.ts";

export interface UnEnrolDeps {
  readonly attacher: Attacher;
  readonly bpffsDir: string;
}

const POLL_MS = 100;
/** Destroyed sockets may need a moment, and a SYN in flight may still be accepted. */
const DESTROY_ROUNDS = 20;

export async function unEnrolPod(
  deps: UnEnrolDeps,
  target: CaptureTarget,
  options: UnEnrolOptions,
  clock: Clock = systemClock,
): Promise<UnEnrolOutcome> {
  const pins = new PodPins(deps.bpffsDir, target.podUid);
  const pod = { pins, netns: target.netns };
  if (!pins.exists()) return { kind: "not-enrolled" };
  if (!pins.isLoaded()) {
    release(deps.attacher, pod, RELEASE_ORDER); // interrupted before anything was attached
    return { kind: "removed", destroyedConnections: 0 };
  }
  writeFlags(pins, { ...readFlags(pins), drain: true });
  pins.unmark("enrolled");
  await options.onDraining?.();
  await drain(pod, options, clock);
  if (options.signal?.aborted === true) {
    const message = "un-enrolment was cancelled: the pod is still captured, and draining";
    return { kind: "still-captured", connections: countCaptured(pod), message };
  }
  const destroyed = await destroyRest(pod, clock);
  const left = countCaptured(pod);
  if (left > 0) {
    const message = `${left} captured connections cannot be destroyed: CONFIG_INET_DIAG_DESTROY may be missing`;
    return { kind: "still-captured", connections: left, message };
  }
  release(deps.attacher, pod, RELEASE_ORDER);
  return { kind: "removed", destroyedConnections: destroyed };
}

/**
 * Waits for captured connections to end, and a quiet moment more: ztunnel may have accepted a connection that it has
 * not yet dialled to the application.
 */
async function drain(pod: PodContext, options: UnEnrolOptions, clock: Clock): Promise<void> {
  const end = clock.monotonicMs() + options.drainMs;
  let quietSince = clock.monotonicMs();
  while (options.signal?.aborted !== true) {
    const now = clock.monotonicMs();
    const captured = countCaptured(pod);
    if (captured > 0) quietSince = now;
    const verdict = drainVerdict({ captured, remainingMs: end - now, quietMs: now - quietSince });
    if (verdict !== "wait") return;
    await clock.sleep(POLL_MS);
  }
}

async function destroyRest(pod: PodContext, clock: Clock): Promise<number> {
  let destroyed = 0;
  for (let round = 0; round < DESTROY_ROUNDS; round++) {
    const rest = capturedSockets(takeCensus(pod.pins, pod.netns));
    if (rest.length === 0) break;
    destroyed += destroySockets(pod.netns, rest);
    await clock.sleep(POLL_MS / 10);
  }
  return destroyed;
}

function countCaptured(pod: PodContext): number {
  return capturedSockets(takeCensus(pod.pins, pod.netns)).length;
}
