/** Tells the API a pod's status: changes of one moment become one write, a failed write is repeated, the same status is not sent twice. */
import { describeError } from "#core/runtime/errors.ts";
import type { NodeContext } from "./node-context.ts";
import type { PodObject, PodStatus } from "./pod-types.ts";

const STATUS_DELAY_MS = 20;
const RETRY_MS = 1_000;

export interface ReporterDeps {
  readonly context: NodeContext;
  readonly pod: () => PodObject;
  readonly status: () => PodStatus;
  /** Nothing comes after the present status: a failed write is not repeated later. */
  readonly isFinal: () => boolean;
  readonly onSent: (status: PodStatus) => void;
}

export class StatusReporter {
  readonly #deps: ReporterDeps;
  #reported = "";
  #pending = false;
  #sending: Promise<void> = Promise.resolve();

  constructor(deps: ReporterDeps) {
    this.#deps = deps;
  }

  /** Soon. */
  report(): void {
    if (this.#pending) return;
    this.#pending = true;
    this.#deps.context.clock.after(STATUS_DELAY_MS, () => {
      this.#pending = false;
      void this.send();
    });
  }

  /** One write after the other: two at once could arrive in the wrong order, and the older would stand for good. */
  send(): Promise<void> {
    this.#sending = this.#sending.then(() => this.#sendNow());
    return this.#sending;
  }

  async #sendNow(): Promise<void> {
    const { context, pod, isFinal, onSent } = this.#deps;
    const status = this.#deps.status();
    const text = JSON.stringify(status);
    if (text === this.#reported) return;
    this.#reported = text;
    try {
      await context.access.updateStatus(pod(), status);
      onSent(status);
    } catch (error) {
      this.#reported = "";
      context.log.warn({ pod: pod().metadata.name, error: describeError(error) }, "status update failed");
      if (!isFinal()) context.clock.after(RETRY_MS, () => this.report());
    }
  }
}
