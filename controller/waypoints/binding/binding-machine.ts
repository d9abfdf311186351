/**
 * Pure. The order in which a waypoint comes between callers and workloads, and leaves again (docs/adr/0016): one step of one
 * binding. Each wrong order refuses legitimate callers or lets forbidden ones in; `binding-model.test.ts` shows both.
 */
import type { Binding, Stage } from "./binding.ts";

/** Who has what was published for the present stage. Names are for people: `node node-1`, `pod shop/ambit-waypoint-x`. */
export interface BindingFacts {
  /** Everything that follows from the present stage has been published. Nothing else here counts before. */
  readonly published: boolean;
  /** Replicas of the controller that have not published it. */
  readonly unpublished?: readonly string[];
  readonly readyWaypoints: number;
  /** Connected waypoints that have not acknowledged. */
  readonly waypointsBehind: readonly string[];
  /** Ztunnels of nodes with pods in the scope that have not acknowledged, connected or not. */
  readonly destinationsBehind: readonly string[];
  /** Connected ztunnels that have not acknowledged. */
  readonly sourcesBehind: readonly string[];
  /** Ztunnels that should be connected and are not. */
  readonly sourcesMissing: readonly string[];
  /** For how long this controller has been there to connect to. */
  readonly watchedMs: number;
}

/** Of a waypoint that does not exist yet. */
export const NO_FACTS_YET: BindingFacts = {
  published: false,
  readyWaypoints: 0,
  waypointsBehind: [],
  destinationsBehind: [],
  sourcesBehind: [],
  sourcesMissing: [],
  watchedMs: 0,
};

export interface BindingTimes {
  /** Until older direct connections are surely closed: ztunnels reset them after 5 s. */
  readonly drainMs: number;
  /** How long a ztunnel that is not connected is waited for. */
  readonly missingMs: number;
  /** How long an unused waypoint stays. */
  readonly graceMs: number;
}

export type WaitReason =
  | "Publishing"
  | "WaypointStarting"
  | "WaitingForWaypoint"
  | "WaitingForNode"
  | "Draining"
  | "Resting";

export type Step =
  | { readonly kind: "stay"; readonly reason: WaitReason | "Done"; readonly waitsFor: readonly string[] }
  | { readonly kind: "go"; readonly stage: Stage }
  | { readonly kind: "gone" };

/** What the policy asks of a binding now. `immediately`: callers are held until the waypoint judges them, not let through. */
export type Asked = "nothing" | "gradually" | "immediately";

export function stepBinding(
  binding: Pick<Binding, "stage" | "sinceMs">,
  asked: Asked,
  facts: BindingFacts,
  at: { readonly nowMs: number; readonly times: BindingTimes },
): Step {
  const turn = TURNS[asked][binding.stage];
  if (turn !== undefined) return turn === "gone" ? { kind: "gone" } : { kind: "go", stage: turn };
  if (!facts.published) return wait("Publishing", facts.unpublished ?? []);
  // A clock that was set back must not hold a stage for ever: its time begins again.
  if (binding.sinceMs > at.nowMs) return { kind: "go", stage: binding.stage };
  return STEPS[binding.stage](facts, at.nowMs - binding.sinceMs, at.times);
}

/** No longer wanted: the nearest stage on the way out in which nothing more is pushed than now. */
const TURN_OUT: Readonly<Partial<Record<Stage, Stage | "gone">>> = {
  starting: "gone",
  exempting: "resting",
  binding: "unbinding",
  draining: "unbinding",
  denying: "releasing",
  enforced: "releasing",
};

/** Wanted again: the nearest stage on the way in whose gate covers what is not everywhere now. */
const TURN_BACK_IN: Readonly<Partial<Record<Stage, Stage>>> = {
  releasing: "denying",
  lifting: "binding",
  unbinding: "binding",
  resting: "exempting",
};

/** At once: everything up to the DENY is pushed together, whatever is where now. */
const TURN_CLOSED: Readonly<Partial<Record<Stage, Stage>>> = {
  starting: "denying",
  exempting: "denying",
  binding: "denying",
  draining: "denying",
  releasing: "denying",
  lifting: "denying",
  unbinding: "denying",
  resting: "denying",
};

const TURNS: Readonly<Record<Asked, Readonly<Partial<Record<Stage, Stage | "gone">>>>> = {
  nothing: TURN_OUT,
  gradually: TURN_BACK_IN,
  immediately: TURN_CLOSED,
};

type Gate = (facts: BindingFacts, elapsedMs: number, times: BindingTimes) => Step;

const STEPS: Readonly<Record<Stage, Gate>> = {
  starting: (facts) => waypointHas(facts) ?? { kind: "go", stage: "exempting" },
  // The waypoint again, since it may have been replaced: callers must not be sent to one that knows less.
  exempting: (facts) => destinationsHave(facts) ?? waypointHas(facts) ?? { kind: "go", stage: "binding" },
  binding: (facts, elapsedMs, times) =>
    sourcesHave(facts, elapsedMs, times) ?? { kind: "go", stage: "draining" },
  draining: (_facts, elapsedMs, times) =>
    elapsedMs < times.drainMs ? wait("Draining", []) : { kind: "go", stage: "denying" },
  // Sources too: who went here at once has sources that may not know of the waypoint yet, and whose callers are refused until they do.
  denying: (facts, elapsedMs, times) =>
    destinationsHave(facts) ??
    waypointHas(facts) ??
    sourcesHave(facts, elapsedMs, times) ?? { kind: "go", stage: "enforced" },
  enforced: () => ({ kind: "stay", reason: "Done", waitsFor: [] }),
  releasing: (facts) => {
    if (facts.waypointsBehind.length > 0) return wait("WaitingForWaypoint", facts.waypointsBehind);
    return destinationsHave(facts) ?? { kind: "go", stage: "lifting" };
  },
  lifting: (facts) => destinationsHave(facts) ?? { kind: "go", stage: "unbinding" },
  unbinding: (facts, elapsedMs, times) =>
    sourcesHave(facts, elapsedMs, times) ?? { kind: "go", stage: "resting" },
  resting: (_facts, elapsedMs, times) => (elapsedMs < times.graceMs ? wait("Resting", []) : { kind: "gone" }),
};

function waypointHas(facts: BindingFacts): Step | undefined {
  if (facts.readyWaypoints === 0) return wait("WaypointStarting", []);
  return facts.waypointsBehind.length > 0 ? wait("WaitingForWaypoint", facts.waypointsBehind) : undefined;
}

function destinationsHave({ destinationsBehind }: BindingFacts): Step | undefined {
  return destinationsBehind.length > 0 ? wait("WaitingForNode", destinationsBehind) : undefined;
}

/**
 * A ztunnel that is away is not waited for for ever: what its pods then call refuses them, which is safe, and is said. After a restart
 * of the controller all of them are away for a moment, however old the stage is.
 */
function sourcesHave(facts: BindingFacts, elapsedMs: number, times: BindingTimes): Step | undefined {
  const waitedMs = Math.min(elapsedMs, facts.watchedMs);
  const missing = waitedMs < times.missingMs ? facts.sourcesMissing : [];
  const behind = [...facts.sourcesBehind, ...missing];
  return behind.length > 0 ? wait("WaitingForNode", behind) : undefined;
}

function wait(reason: WaitReason, waitsFor: readonly string[]): Step {
  return { kind: "stay", reason, waitsFor };
}
