/** Looks after captured pods: programs still first in line, pins of ended pods removed. Repairs, or says loudly. */
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { NodeCapture } from "../capture/capture.ts";
import type { PodEntry, PodRegistry } from "./pod-registry.ts";
import { type PodRef, podText } from "./pod-ref.ts";
import { forgetDeadPods } from "./recovery.ts";

export interface WatchdogDeps {
  readonly capture: NodeCapture;
  readonly pods: PodRegistry;
  readonly annotate: (pod: PodRef, captured: boolean) => Promise<void>;
  readonly log: Logger;
}

const VERIFY_EVERY_MS = 10_000;
const FORGET_EVERY_MS = 2_000;

export class Watchdog {
  readonly #deps: WatchdogDeps;
  /** Pods found broken, whose annotation was withdrawn. */
  readonly #broken = new Set<string>();
  #timers: readonly NodeJS.Timeout[] = [];

  constructor(deps: WatchdogDeps) {
    this.#deps = deps;
  }

  start(): void {
    const verify = setInterval(() => this.verifyAll(), VERIFY_EVERY_MS).unref();
    const forget = setInterval(
      () => this.#guard("forget", () => forgetDeadPods(this.#deps)),
      FORGET_EVERY_MS,
    ).unref();
    this.#timers = [verify, forget];
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  verifyAll(): void {
    for (const entry of this.#deps.pods.all()) this.#guard("verify", () => this.#verify(entry));
  }

  #verify(entry: PodEntry): void {
    const { capture, log, annotate } = this.#deps;
    const outcome = capture.verifyAttachment(entry.target);
    const pod = podText(entry.pod);
    if (outcome.kind === "repaired")
      log.warn(
        { pod, problems: outcome.problems.map((p) => p.message) },
        "capture was damaged and is repaired",
      );
    if (outcome.kind === "broken") {
      log.error(
        { pod, problems: outcome.problems.map((p) => p.message) },
        "capture is broken: traffic may bypass the mesh",
      );
      this.#broken.add(entry.pod.uid);
      void annotate(entry.pod, false);
    } else if (this.#broken.delete(entry.pod.uid)) {
      void annotate(entry.pod, true);
    }
  }

  #guard(what: string, work: () => unknown): void {
    try {
      work();
    } catch (error) {
      this.#deps.log.error({ what, error: describeError(error) }, "watchdog failed");
    }
  }
}
