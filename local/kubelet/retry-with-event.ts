/** A step of a pod's start that is tried until it works or the pod ends; each failure is an event. */
import { describeError } from "#core/runtime/errors.ts";
import type { NodeContext } from "./node-context.ts";
import type { PodObject } from "./pod-types.ts";

export interface RetriedStep<T> {
  readonly reason: string;
  readonly retryMs: number;
  readonly sentence: (error: string) => string;
  readonly attempt: () => Promise<T>;
}

/** Fails only when `signal` is aborted. */
export async function retryWithEvent<T>(
  context: NodeContext,
  pod: PodObject,
  step: RetriedStep<T>,
  signal: AbortSignal,
): Promise<T> {
  let lastMessage = "";
  for (;;) {
    signal.throwIfAborted();
    try {
      return await step.attempt();
    } catch (error) {
      const message = step.sentence(describeError(error).replace(/^(CNI_FAILED|VOLUME_FAILED): /, ""));
      context.access.recordEvent(pod, { type: "Warning", reason: step.reason, message });
      // The event counts repetitions; the log need not.
      const level = message === lastMessage ? "debug" : "warn";
      lastMessage = message;
      context.log[level](
        { pod: pod.metadata.name, reason: step.reason, error: message },
        "pod start attempt failed",
      );
      await context.clock.sleep(step.retryMs, signal);
    }
  }
}
