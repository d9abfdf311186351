/** Deadlines and linked cancellation. Every wait in Ambit has one of these. */

/** A signal that fires after `ms` or together with `parent`, whichever comes first. */
export function deadline(ms: number, parent?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(ms);
  return parent === undefined ? timeout : AbortSignal.any([timeout, parent]);
}

/** Whether an error is only the consequence of a cancellation. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || error.name === "TimeoutError");
}
