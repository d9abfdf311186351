/**
 * Pure. When gathered changes are due. Two lanes, each a fixed window opened by its first change: endpoints hurry,
 * configuration is gathered. Istio's rule (a quiet period with a cap) replaces both when its variables are set; under
 * steady change the quiet never comes and everything waits for the cap, which is why it is not the default.
 */

export type Lane = "addresses" | "config";

export interface DebounceOptions {
  readonly rule: "windows" | "istio";
  /** PILOT_DEBOUNCE_AFTER, milliseconds. */
  readonly afterMs: number;
  /** PILOT_DEBOUNCE_MAX, milliseconds. */
  readonly maxMs: number;
  /** PILOT_ENABLE_EDS_DEBOUNCE. */
  readonly debounceEndpoints: boolean;
}

/** Times of the changes gathered in a lane. */
export interface LaneTimes {
  readonly firstMs: number;
  readonly lastMs: number;
}

const MIN_ADDRESS_WINDOW_MS = 20;

/** `lastFanOutMs`: how long the last push took, so that pushing keeps to half a core. */
export function dueAtMs(
  lane: Lane,
  times: LaneTimes,
  options: DebounceOptions,
  lastFanOutMs: number,
): number {
  if (options.rule === "istio") {
    if (lane === "addresses" && !options.debounceEndpoints) return times.firstMs;
    return Math.min(times.lastMs + options.afterMs, times.firstMs + options.maxMs);
  }
  const windowMs =
    lane === "config"
      ? options.afterMs
      : Math.min(Math.max(MIN_ADDRESS_WINDOW_MS, 2 * lastFanOutMs), options.maxMs);
  return times.firstMs + windowMs;
}
