/** Pure. What a sequence of probe results means: thresholds, and when a probe may run at all. */
import type { ProbeSpec } from "./pod-types.ts";

export type ProbeKind = "startup" | "liveness" | "readiness";

export interface ProbeState {
  /** Undefined until a threshold is reached for the first time. */
  readonly verdict: boolean | undefined;
  readonly lastResult: boolean | undefined;
  /** Equal results in a row. */
  readonly run: number;
}

export const FIRST_PROBE_STATE: ProbeState = { verdict: undefined, lastResult: undefined, run: 0 };

export function afterProbe(state: ProbeState, passed: boolean, spec: ProbeSpec): ProbeState {
  const run = state.lastResult === passed ? state.run + 1 : 1;
  const threshold = passed ? (spec.successThreshold ?? 1) : (spec.failureThreshold ?? 3);
  return { verdict: run >= threshold ? passed : state.verdict, lastResult: passed, run };
}

export function periodMs(spec: ProbeSpec): number {
  return (spec.periodSeconds ?? 10) * 1000;
}

export function timeoutMs(spec: ProbeSpec): number {
  return (spec.timeoutSeconds ?? 1) * 1000;
}
