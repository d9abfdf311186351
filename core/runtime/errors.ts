/**
 * Failures of the world and broken invariants. Expected outcomes (a denial, no route) are values, not errors.
 * Each component lists its codes in its own `errors.ts`.
 */

export interface AmbitErrorOptions {
  readonly cause?: unknown;
  /** Flat facts for the log line; never secrets. */
  readonly fields?: Readonly<Record<string, string | number | boolean>>;
  readonly retryable?: boolean;
}

/** `code` is stable and documented; `message` tells an operator what failed, with whom, and what to check. */
export class AmbitError extends Error {
  readonly code: string;
  readonly fields: Readonly<Record<string, string | number | boolean>>;
  readonly retryable: boolean;

  constructor(code: string, message: string, options: AmbitErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AmbitError";
    this.code = code;
    this.fields = options.fields ?? {};
    this.retryable = options.retryable ?? false;
  }
}

/** `CODE: message`, for logs and status conditions. */
export function describeError(error: unknown): string {
  if (error instanceof AmbitError) return `${error.code}: ${error.message}`;
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  return code === undefined || error.message.startsWith(code) ? error.message : `${code}: ${error.message}`;
}
