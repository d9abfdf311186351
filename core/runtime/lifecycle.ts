/** What was started is stopped in reverse order, each with a deadline; one failure does not skip the others. */
import { describeError } from "./errors.ts";
import type { Logger } from "./log.ts";

export type StopTask = () => void | Promise<void>;

export class StopStack {
  readonly #tasks: { readonly name: string; readonly stop: StopTask }[] = [];
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  push(name: string, stop: StopTask): void {
    this.#tasks.push({ name, stop });
  }

  /** Stops everything, newest first. Never rejects; a task over `deadlineMs` is left behind with a warning. */
  async stopAll(deadlineMs: number): Promise<void> {
    for (const { name, stop } of this.#tasks.splice(0).toReversed()) {
      try {
        await withDeadline(Promise.resolve(stop()), deadlineMs);
      } catch (error) {
        this.#log.warn({ task: name, error: describeError(error) }, "stop failed");
      }
    }
  }
}

async function withDeadline(task: Promise<void>, ms: number): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`still running after ${ms} ms`)), ms);
  try {
    await Promise.race([task, promise]);
  } finally {
    clearTimeout(timer);
  }
}
