/**
 * Pure. In which order a pod is captured and released. The order is the safety argument:
 * - maps and listeners come before any program that uses them: the first steered connection has somewhere to go;
 * - routing and `loopback` come before `steer`, else ztunnel's dial to the application would be captured again;
 * - `egress` is last: once a socket is flagged everything it needs is there;
 * - the self-test ends enrolment: nothing is announced that was not seen to work.
 * Release is the reverse, and only when no flagged socket is alive: detaching earlier would let its payload out.
 */
import { unreachable } from "#core/base/invariant.ts";

export type EnrolStep =
  | "check-devices"
  | "load"
  | "addresses"
  | "adopt"
  | "routing"
  | "loopback"
  | "steer"
  | "egress"
  | "self-test"
  | "mark-enrolled";

export type ReleaseStep = "egress" | "steer" | "loopback" | "routing" | "pins";

export const ENROL_ORDER: readonly EnrolStep[] = [
  "check-devices",
  "load",
  "addresses",
  "adopt",
  "routing",
  "loopback",
  "steer",
  "egress",
  "self-test",
  "mark-enrolled",
];

export const RELEASE_ORDER: readonly ReleaseStep[] = ["egress", "steer", "loopback", "routing", "pins"];

/** What an enrolment that failed at `step` must take back: whatever may have been made, newest first. */
export function undoAfter(step: EnrolStep): readonly ReleaseStep[] {
  switch (step) {
    case "check-devices":
      return [];
    case "load":
    case "addresses":
    case "adopt":
      return ["pins"];
    case "routing":
      return ["routing", "pins"];
    case "loopback":
      return ["loopback", "routing", "pins"];
    case "steer":
      return ["steer", "loopback", "routing", "pins"];
    case "egress":
    case "self-test":
    case "mark-enrolled":
      return RELEASE_ORDER;
    default:
      return unreachable(step);
  }
}

/** Whether sockets may carry the flag by then, so that they must end before anything is taken away. */
export function mayHaveCaptured(step: EnrolStep): boolean {
  return undoAfter(step).includes("steer");
}

export type DrainVerdict = "removable" | "wait" | "destroy";

export interface DrainState {
  /** Captured sockets alive. */
  readonly captured: number;
  readonly remainingMs: number;
  /** For how long there has been none. */
  readonly quietMs: number;
}

/** A connection between ztunnel's accept and its dial shows in no census for a moment. */
export const QUIET_MS = 400;

export function drainVerdict(state: DrainState): DrainVerdict {
  if (state.captured === 0 && state.quietMs >= QUIET_MS) return "removable";
  return state.remainingMs > 0 || state.captured === 0 ? "wait" : "destroy";
}
