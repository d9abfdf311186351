/** Waiting until the mesh state says something: bounded, and woken by commits alone. */
import type { MeshState } from "./mesh-state.ts";

/** Where waits end: a time limit per wait, and the signal of whoever waits. */
export interface WaitLimits {
  readonly ms: number;
  readonly signal: AbortSignal;
}

/** The first defined value of `read`, now or after a commit; undefined when the time is over or the signal fires. */
export function awaitState<T>(
  state: MeshState,
  limits: WaitLimits,
  read: () => T | undefined,
): Promise<T | undefined> {
  const now = read();
  if (now !== undefined || limits.signal.aborted) return Promise.resolve(now);
  return new Promise((resolve) => {
    const finish = (value: T | undefined): void => {
      unsubscribe();
      clearTimeout(timer);
      limits.signal.removeEventListener("abort", onAbort);
      resolve(value);
    };
    const onAbort = (): void => finish(undefined);
    const timer = setTimeout(onAbort, limits.ms);
    const unsubscribe = state.subscribe(() => {
      const value = read();
      if (value !== undefined) finish(value);
    });
    limits.signal.addEventListener("abort", onAbort, { once: true });
  });
}
