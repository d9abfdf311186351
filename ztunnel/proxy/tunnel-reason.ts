/** Pure. Failures of the tunnel engine in the words of the access log. */
import { AmbitError } from "#core/runtime/errors.ts";
import type { Reason } from "./response-flag.ts";

const REASON_BY_CODE: Readonly<Record<string, Reason>> = {};

export function tunnelReason(error: unknown): Reason {
  return (error instanceof AmbitError ? REASON_BY_CODE[error.code] : undefined) ?? "tunnel-failed";
}
