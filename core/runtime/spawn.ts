/** Background work with a name: its failure is logged, never lost. */
import { isAbort } from "../base/abort.ts";
import { describeError } from "./errors.ts";
import type { Logger } from "./log.ts";

/** Starts `task` and returns at once. A cancellation ends it silently; any other failure is an error line. */
export function spawn(log: Logger, name: string, task: () => Promise<void>): void {
  task().catch((error: unknown) => {
    if (!isAbort(error)) log.error({ task: name, error: describeError(error) }, "background task failed");
  });
}
