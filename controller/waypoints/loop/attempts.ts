/** Something that is asked of the API again, later and later, while it fails. */
import type { Clock } from "#core/base/clock.ts";
import { describeError } from "#core/runtime/errors.ts";

export interface Attempts {
  nextMs: number;
  failed: number;
  /** What the API said last, while it does not do what is asked. */
  failure: string | undefined;
}

export interface AttemptOptions {
  readonly clock: Clock;
  /** The next look is enough. */
  readonly isNoFailure: (error: unknown) => boolean;
  readonly onFailure: (failure: string, retryMs: number) => void;
}

const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;

export function newAttempts(): Attempts {
  return { nextMs: 0, failed: 0, failure: undefined };
}

/** False when it has failed, now or a moment ago. */
export async function attempt(
  attempts: Attempts,
  what: () => Promise<void>,
  { clock, isNoFailure, onFailure }: AttemptOptions,
): Promise<boolean> {
  if (clock.monotonicMs() < attempts.nextMs) return false;
  try {
    await what();
    attempts.failed = 0;
    attempts.failure = undefined;
    return true;
  } catch (error) {
    if (isNoFailure(error)) return false;
    const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** attempts.failed++);
    attempts.nextMs = clock.monotonicMs() + delayMs;
    attempts.failure = describeError(error);
    onFailure(attempts.failure, delayMs);
    return false;
  }
}
