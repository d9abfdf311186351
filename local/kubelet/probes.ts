/** Runs a container's probes in kubelet's order: startup first; liveness and readiness only once it has passed. */
import type { Clock } from "#core/base/clock.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import type { RunningContainer } from "./container.ts";
import { runHandler } from "./handlers.ts";
import type { ContainerSpec, ProbeSpec } from "./pod-types.ts";
import { afterProbe, FIRST_PROBE_STATE, periodMs, type ProbeKind, timeoutMs } from "./probe-state.ts";

export interface ProbeRun {
  readonly container: ContainerSpec;
  readonly podIp: string;
  readonly running: RunningContainer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly onStarted: () => void;
  readonly onReady: (ready: boolean) => void;
  readonly onUnhealthy: (kind: ProbeKind, why: string) => void;
  /** Startup or liveness failed for good: the container must be restarted. */
  readonly onFatal: (kind: ProbeKind) => void;
}

export function runProbes(run: ProbeRun): void {
  const { startupProbe, livenessProbe, readinessProbe } = run.container;
  spawn(run.log, "probes", async () => {
    if (startupProbe !== undefined) {
      const passed = await follow(run, "startup", startupProbe, (verdict) => verdict !== undefined);
      if (passed !== true) {
        if (!run.signal.aborted) run.onFatal("startup");
        return;
      }
      run.onStarted();
      if (readinessProbe === undefined) run.onReady(true);
    }
    if (readinessProbe !== undefined) {
      spawn(run.log, "readiness probe", async () => {
        await follow(run, "readiness", readinessProbe, (verdict) => {
          if (verdict !== undefined) run.onReady(verdict);
          return false;
        });
      });
    }
    if (livenessProbe === undefined) return;
    const alive = await follow(run, "liveness", livenessProbe, (verdict) => verdict === false);
    if (alive === false) run.onFatal("liveness");
  });
}

/** Probes until `enough` of the verdict or the end of the run; the last verdict. `enough` is told only of changes. */
async function follow(
  run: ProbeRun,
  kind: ProbeKind,
  spec: ProbeSpec,
  enough: (verdict: boolean | undefined) => boolean,
): Promise<boolean | undefined> {
  const { clock, signal, container } = run;
  const target = { podIp: run.podIp, container, exec: run.running.execForResult };
  await clock.sleep((spec.initialDelaySeconds ?? 0) * 1000, signal);
  let state = FIRST_PROBE_STATE;
  for (;;) {
    const began = clock.monotonicMs();
    const result = await runHandler(spec, target, timeoutMs(spec));
    if (signal.aborted) return undefined;
    if (!result.passed) run.onUnhealthy(kind, result.why);
    const next = afterProbe(state, result.passed, spec);
    const changed = next.verdict !== state.verdict;
    state = next;
    if (changed && enough(state.verdict)) return state.verdict;
    // A container that is not ready yet is asked every second: pods become ready soon, and no threshold depends on it.
    const pause =
      kind === "readiness" && state.verdict !== true ? Math.min(1_000, periodMs(spec)) : periodMs(spec);
    await clock.sleep(Math.max(0, pause - (clock.monotonicMs() - began)), signal);
  }
}
